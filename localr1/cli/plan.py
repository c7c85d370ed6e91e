"""`localr1 plan`: what a model needs in memory, buffer by buffer, before anything is loaded."""

from __future__ import annotations

from typing import get_args

import click

from backends.device import Device
from backends.parameters import FlashAttention
from localr1.cli.options import with_output
from localr1.cli.output import Output
from localr1.errors import EXIT_DOES_NOT_FIT, EngineStartError
from localr1.model_options import parse_ctx, parse_kv


@click.command("plan")
@click.argument("model")
@click.option("--ctx", metavar="N|max", help="Context in tokens, or the longest that fits.")
@click.option("--kv", default="f16", show_default=True, help="KV cache type: K or K,V.")
@click.option(
    "--flash-attn",
    type=click.Choice(get_args(FlashAttention)),
    default="auto",
    show_default=True,
    help="Flash attention.",
)
@click.option("--ubatch", type=click.IntRange(min=1), default=512, show_default=True)
@click.option("--gpu-layers", type=click.IntRange(min=0), help="Layers on the GPU.")
@click.option("--device", help="Use this device: a name or kind from `localr1 devices`.")
@with_output
def command(
    output: Output,
    model: str,
    *,
    ctx: str | None,
    kv: str,
    flash_attn: FlashAttention,
    ubatch: int,
    gpu_layers: int | None,
    device: str | None,
) -> int:
    """Show what MODEL needs in memory on this machine; the exit code is 4 if it does not fit.

    MODEL is a GGUF file, also one that was cut off or is still being downloaded, or `demo`.
    """
    from localr1.model_card import ModelCard
    from localr1.models import resolve
    from localr1.plan import explain
    from localr1.plan.host_memory import read_host_memory
    from localr1.plan.memory_plan import Verdict
    from localr1.plan.planner import make_plan
    from localr1.plan.request import PlanRequest
    from quant.gguf.header import read_header

    type_k, type_v = parse_kv(kv)
    request = PlanRequest(
        n_ctx=parse_ctx(ctx),
        n_batch=max(ubatch, 2048),
        n_ubatch=ubatch,
        flash_attn=flash_attn,
        type_k=type_k,
        type_v=type_v,
        n_gpu_layers=gpu_layers,
        device=device,
    )
    path = resolve(model, on_progress=lambda done, all_: output.progress("converting", done, all_))
    header = read_header(path, allow_truncated=True)
    if header.missing_bytes:
        output.narrate(f"note: {path} is cut off, {header.missing_bytes} bytes are missing")
    devices = _devices(output)
    plan = make_plan(ModelCard.from_header(header), request, devices, read_host_memory())
    if output.as_json:
        output.json(plan.to_json(), indent=2)
    else:
        for line in explain.lines(plan):
            output.data(line)
    return EXIT_DOES_NOT_FIT if plan.verdict is Verdict.DOES_NOT_FIT else 0


def _devices(output: Output) -> tuple[Device, ...]:
    """What the engine finds; nothing but the processor if it does not come up."""
    from localr1.worker.host import Engine

    try:
        engine = Engine.start()
    except EngineStartError as exc:
        output.narrate(f"note: planned for the processor only; {exc.message}")
        return ()
    try:
        return engine.info.devices
    finally:
        engine.close()
