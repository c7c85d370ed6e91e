"""`localr1 plan`: what a model needs in memory, buffer by buffer, before anything is loaded."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from localr1.cli.machine_options import with_machine_options
from localr1.cli.model_options import with_load_options
from localr1.cli.options import with_output
from localr1.cli.output import Output
from localr1.errors import EXIT_DOES_NOT_FIT, EngineStartError
from localr1.hardware.machine import PlannedMachine, Wish, build_machine
from localr1.model_options import ModelOptions

if TYPE_CHECKING:
    from localr1.model_card import ModelCard


@click.command("plan")
@click.argument("model")
@with_load_options
@with_machine_options
@with_output
def command(output: Output, model: str, *, model_options: ModelOptions, wish: Wish) -> int:
    """Show what MODEL needs in memory on this machine; the exit code is 4 if it does not fit.

    MODEL is a GGUF file, also one that was cut off or is still being downloaded, or `demo`.
    With --on, --ram or --vram the plan is for a machine that is not here.
    """
    from localr1.plan import explain
    from localr1.plan.memory_plan import Verdict
    from localr1.plan.planner import make_plan

    request = model_options.plan_request()
    machine = _this_machine(output) if wish.is_empty else build_machine(wish)
    card = _card(output, model)
    plan = make_plan(card, request, machine.devices, machine.host, machine.known)
    plan = replace(plan, notices=(*machine.notices, *plan.notices))
    if output.as_json:
        output.json(plan.to_json(), indent=2)
    else:
        for line in explain.lines(plan):
            output.data(line)
    return EXIT_DOES_NOT_FIT if plan.verdict is Verdict.DOES_NOT_FIT else 0


def _card(output: Output, model: str) -> ModelCard:
    from localr1.model_card import ModelCard
    from localr1.models import resolve
    from quant.gguf.header import read_header

    path = resolve(model, on_progress=lambda done, all_: output.progress("converting", done, all_))
    header = read_header(path, allow_truncated=True)
    if header.missing_bytes:
        output.narrate(f"note: {path} is cut off, {header.missing_bytes} bytes are missing")
    return ModelCard.from_header(header)


def _this_machine(output: Output) -> PlannedMachine:
    """What the engine finds; nothing but the processor if it does not come up."""
    from localr1.plan.host_memory import read_host_memory
    from localr1.worker.host import Engine

    try:
        engine = Engine.start()
    except EngineStartError as exc:
        output.narrate(f"note: planned for the processor only; {exc.message}")
        return PlannedMachine(devices=(), host=read_host_memory(), known={}, notices=())
    try:
        devices = engine.info.devices
        return PlannedMachine(devices=devices, host=read_host_memory(), known={}, notices=())
    finally:
        engine.close()
