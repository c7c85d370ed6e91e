"""Owns the verb `imatrix`: what a model does with a text becomes an importance matrix."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from localr1.cli.interrupts import terminable
from localr1.cli.options import with_output
from localr1.cli.output import Output
from localr1.errors import ModelNotFoundError, UsageError
from localr1.paths import output_path
from localr1.units import format_bytes, format_count, format_duration

if TYPE_CHECKING:
    from localr1.events import Event
    from localr1.importance import MeasuredImportance

_MAX_CTX = 2**20


@click.command("imatrix")
@with_output
@click.argument("model")
@click.argument("text", type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "-o", "--output", "target", metavar="OUT",
    help="File or directory to write to.  [default: ./MODEL-imatrix.gguf]",
)  # fmt: skip
@click.option(
    "--ctx", "n_ctx", metavar="N", type=click.IntRange(32, _MAX_CTX), default=512,
    show_default=True, help="Tokens in a chunk.",
)  # fmt: skip
@click.option(
    "--chunks", "n_chunks", metavar="N", type=click.IntRange(min=1),
    help="Most chunks to evaluate.  [default: the whole text]",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Overwrite the output if it exists.")
@click.option("--gpu-layers", "n_gpu_layers", type=click.IntRange(min=0), help="Layers on the GPU.")
@click.option("--device", help="Use this device: a name or kind from `localr1 devices`.")
@click.option("--threads", "n_threads", type=click.IntRange(1, 512), help="[default: all cores]")
@click.option("--load-anyway", "loads_anyway", is_flag=True, help="Load even if the plan says no.")
@terminable()
def command(  # noqa: PLR0913 - one for each option
    output: Output,
    model: str,
    text: Path,
    target: str | None,
    *,
    n_ctx: int,
    n_chunks: int | None,
    force: bool,
    n_gpu_layers: int | None,
    device: str | None,
    n_threads: int | None,
    loads_anyway: bool,
) -> None:
    """Measure what the weights of MODEL are multiplied with while it reads TEXT.

    The file leads `localr1 convert --imatrix`, and llama.cpp's quantiser. TEXT is a file of plain
    text like what the model is for, or `-` for stdin; a hundred chunks are enough.
    """
    from localr1.importance import Measurement, measure_importance, room_for_logits
    from localr1.launch import Launch
    from localr1.model_facts.card import ModelCard
    from localr1.model_options import ModelOptions
    from localr1.models import resolve
    from quant.gguf.parts import read_model_header
    from quant.output.target import require_apart

    wanted = Measurement(read_text(text), str(text), n_ctx, n_chunks)
    path = resolve(model, on_progress=output.conversion)
    options = ModelOptions(
        n_ctx=n_ctx,
        n_gpu_layers=n_gpu_layers,
        device=device,
        n_threads=n_threads,
        loads_anyway=loads_anyway,
    )
    launch = Launch(
        path,
        ModelCard.from_header(read_model_header(path)),
        options,
        on_plan=None if loads_anyway else room_for_logits(n_ctx),
        observes_inputs=True,
    )
    began_s = output.elapsed_s
    written = output_path(target, f"{path.stem}-imatrix.gguf")
    if str(text) != "-":
        require_apart(written, [text])
    measuring = measure_importance(launch, wanted, written, overwrite=force)
    measured = _watched(output, measuring)
    _report(output, measured, output.elapsed_s - began_s)


def read_text(path: Path) -> str:
    """The text of a file, or of stdin for `-`; without the line end at its end, as llama.cpp does.

    Raises: ModelNotFoundError, SourceUnreadableError; UsageError if it is empty, too long, or no
    UTF-8.
    """
    from localr1.importance import MAX_TEXT_BYTES
    from quant.errors import unreadable

    name = "stdin" if str(path) == "-" else str(path)
    try:
        with sys.stdin.buffer if str(path) == "-" else path.open("rb") as file:
            data = file.read(MAX_TEXT_BYTES + 1)
        text = data.decode("utf-8")
    except FileNotFoundError as exc:
        raise ModelNotFoundError(f"there is no text {name}", hint="give a file, or -") from exc
    except OSError as exc:
        raise unreadable(path, exc) from exc
    except UnicodeDecodeError as exc:
        raise UsageError(
            f"{name} is not UTF-8 text: {exc.reason} at byte {exc.start}",
            hint="give plain text like what the model is for",
        ) from exc
    if len(data) > MAX_TEXT_BYTES:
        raise UsageError(
            f"{name} has more than {format_bytes(MAX_TEXT_BYTES)}; part of it is enough",
            hint=f"for example: head -c {MAX_TEXT_BYTES // 4} {name}",
        )
    if not text.strip():
        raise UsageError(f"{name} is empty", hint="give plain text like what the model is for")
    return text.removesuffix("\n")


def _watched(
    output: Output, measuring: Generator[Event, None, MeasuredImportance]
) -> MeasuredImportance:
    """Show what comes until the result does."""
    from localr1.events import Notice, Progress, to_json

    with contextlib.closing(measuring):
        while True:
            try:
                event = next(measuring)
            except StopIteration as finished:
                measured: MeasuredImportance = finished.value
                return measured
            event = dataclasses.replace(event, t=round(output.elapsed_s, 3))
            if output.as_json:
                output.json(to_json(event))
            elif isinstance(event, Progress):
                label = "loading" if event.stage == "load" else "measuring"
                note = f"{event.done:.0f} of {event.total:.0f} chunks" if event.unit else ""
                output.progress(label, event.done, event.total, note=note)
            elif isinstance(event, Notice):
                output.narrate(f"note: {event.message}")


def _report(output: Output, measured: MeasuredImportance, seconds: float) -> None:
    if output.as_json:
        document = dataclasses.asdict(measured) | {"output": str(measured.output)}
        output.json({"type": "result", "t": round(output.elapsed_s, 3), **document})
        return
    output.narrate(
        f"{measured.n_weights} weights on {format_count(measured.n_tokens)} tokens, "
        f"{measured.n_chunks} chunks, in {format_duration(seconds)}"
    )
    if measured.n_experts_missed:
        output.narrate(
            f"note: no token reached {measured.n_experts_missed} matrices of experts; "
            "a longer or more varied text may"
        )
    output.data(str(measured.output))
