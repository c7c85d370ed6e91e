"""`localr1 plan`: what a model needs in memory, buffer by buffer, before anything is loaded."""

from __future__ import annotations

from dataclasses import replace
from typing import TextIO

import click

from localr1.cli.machine_options import with_machine_options
from localr1.cli.model_options import with_load_options
from localr1.cli.options import with_output
from localr1.cli.output import Output
from localr1.cli.plan_subject import read_subject
from localr1.cli.this_machine import find_this_machine
from localr1.errors import EXIT_DOES_NOT_FIT, UsageError
from localr1.hardware.machine import Wish, build_machine
from localr1.model_options import ModelOptions

_BEST = "best"


@click.command("plan")
@click.argument("model", required=False)
@click.option(
    "--metadata",
    type=click.File(encoding="utf-8"),
    help="Instead of MODEL: JSON with the key-values a log or a model page prints; - is stdin.",
)
@click.option(
    "--quant",
    "file_type",
    metavar="TYPE",
    help="The type that a checkpoint would be converted to.  [default: Q4_K_M]  With `best`, and of"
    " any model: the most exact that fits where it is fast.",
)
@click.option(
    "--calibrate",
    "calibrates",
    is_flag=True,
    help="First measure how fast this machine decodes such weights; kept for later plans.",
)
@with_load_options
@with_machine_options
@with_output
def command(
    output: Output,
    model: str | None,
    *,
    metadata: TextIO | None,
    file_type: str | None,
    calibrates: bool,
    model_options: ModelOptions,
    wish: Wish,
) -> int:
    """Show what MODEL needs in memory on this machine; the exit code is 4 if it does not fit.

    MODEL is a GGUF file, also one that was cut off or is still being downloaded; a checkpoint's
    directory, config.json or repository (user/repo), planned as if it were converted; a repository
    of GGUFs (user/repo:Q4_K_M), of which only the header is read; a name such as deepseek-r1:70b or
    qwen3:8b-Q6_K (`localr1 fit` lists them), planned without a network; or `demo`.
    With --metadata no file is needed: {"gguf_kv": {...}, "tensor_types": {...}, "file_bytes": N,
    "request": {...}, "devices": [...]}, where the last four may be missing.
    With --on, --ram or --vram the plan is for a machine that is not here.
    """
    from localr1.plan import explain
    from localr1.plan.memory_plan import Verdict
    from localr1.plan.planner import make_plan

    picks_type = file_type == _BEST
    file_type = None if picks_type else file_type
    asked = read_subject(output, model, metadata, model_options, file_type)
    wish = replace(wish, names=(*wish.names, *asked.devices))
    if calibrates and not wish.is_empty:
        raise UsageError("--calibrate measures this machine; leave out what describes another")
    machine = (
        find_this_machine(
            output, asked.card, rpc_servers=model_options.rpc_servers, calibrates=calibrates
        )
        if wish.is_empty
        else build_machine(wish)
    )
    if picks_type:
        asked = asked.best_quantised(machine)
    plan = make_plan(asked.card, asked.request, machine.devices, machine.host, machine.known)
    plan = replace(plan, notices=(*machine.notices, *asked.notices, *plan.notices))
    if output.as_json:
        output.json(asked.shown(plan.to_json()), indent=2)
    else:
        for line in explain.lines(plan):
            output.data(line)
    return EXIT_DOES_NOT_FIT if plan.verdict is Verdict.DOES_NOT_FIT else 0
