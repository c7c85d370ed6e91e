"""Owns measuring an importance matrix: model and text in, a file in llama.cpp's format out.

The text is cut into chunks of equal length, as `llama-imatrix` cuts it; the engine evaluates one
after the other and adds up what goes into each weight. Nothing is written before the last one is
done, and then the file appears under its name as a whole.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

from localr1.chat.engine import EngineLike
from localr1.errors import DoesNotFitError, EngineRefusedError, UsageError
from localr1.events import Event, Progress
from localr1.launch import Launch
from localr1.plan.memory_plan import MemoryPlan
from localr1.units import format_bytes
from localr1.worker.host import Engine
from quant.importance.writer import importance_file
from quant.output.files import OutputFile, output_files
from quant.output.target import require_apart, require_free_target

MAX_TEXT_BYTES = 4 * 1024**2
"""Of UTF-8; about a million tokens, of which a hundred thousand are plenty."""

_LEAST_CHUNKS = 2  # as llama-imatrix
_LOGIT_BYTES = 4


@dataclass(frozen=True, slots=True)
class Measurement:
    """What shall be measured."""

    text: str
    dataset: str
    """What the file says that the text was."""
    n_ctx: int
    """Tokens in a chunk."""
    n_chunks: int | None = None
    """How many chunks at most; None takes the whole text."""


@dataclass(frozen=True, slots=True)
class MeasuredImportance:
    """What was measured and written."""

    output: Path
    n_weights: int
    n_chunks: int
    n_tokens: int
    n_experts_missed: int
    """Experts that no token reached; they will count as if all their inputs were alike."""


def measure_importance(
    launch: Launch, wanted: Measurement, target: Path, *, overwrite: bool = False
) -> Generator[Event, None, MeasuredImportance]:
    """Measure and write; yields progress and notices, returns what came of it.

    `launch` must have been made with `observes_inputs`, and a context of `wanted.n_ctx`.
    Raises: UsageError if the text is too short, DoesNotFitError, EngineError, QuantError. Whatever
    is raised, nothing is left on the disk.
    """
    target = target.expanduser().absolute()
    require_free_target(target, overwrite=overwrite)
    require_apart(target, [launch.path])
    opened = yield from launch.open()
    with contextlib.closing(_observing(opened.engine)) as engine:
        chunks = cut(engine.read(wanted.text), wanted.n_ctx, wanted.n_chunks)
        yield _progress(0, len(chunks))
        for number, chunk in enumerate(chunks, start=1):
            engine.observe(chunk)
            yield _progress(number, len(chunks))
        return _written(engine, wanted, target, len(chunks), overwrite=overwrite)


def cut(tokens: list[int], n_ctx: int, n_chunks: int | None) -> list[list[int]]:
    """The chunks of a text; what is left at its end is dropped. Raises: UsageError if too short."""
    n_needed = _LEAST_CHUNKS * n_ctx
    if len(tokens) < n_needed:
        raise UsageError(
            f"the text has {len(tokens)} tokens, {n_needed} are needed for chunks of {n_ctx}",
            hint="give a longer text, or a smaller --ctx",
        )
    n_there = len(tokens) // n_ctx
    n_taken = n_there if n_chunks is None else min(n_chunks, n_there)
    return [tokens[number * n_ctx : (number + 1) * n_ctx] for number in range(n_taken)]


def room_for_logits(n_ctx: int) -> Callable[[MemoryPlan], None]:
    """Checks a plan for what measuring needs beyond it: logits of all tokens that go in at once.

    Raises: DoesNotFitError.
    """

    def check(plan: MemoryPlan) -> None:
        n_bytes = min(n_ctx, plan.request.n_ubatch) * plan.card.n_vocab * _LOGIT_BYTES
        if plan.host.margin_bytes < n_bytes:
            raise DoesNotFitError(
                f"{plan.card.name} leaves {format_bytes(max(plan.host.margin_bytes, 0))} of "
                f"memory, measuring takes {format_bytes(n_bytes)} more",
                hint="try a smaller --ctx; --load-anyway loads it all the same",
            )

    return check


def _observing(engine: EngineLike) -> Engine:
    if not isinstance(engine, Engine):
        raise EngineRefusedError("this engine cannot measure")
    return engine


def _progress(done: int, total: int) -> Progress:
    return Progress(stage="measure", done=done, total=total, unit="chunks")


def _written(
    engine: Engine, wanted: Measurement, target: Path, n_chunks: int, *, overwrite: bool
) -> MeasuredImportance:
    weights = engine.observed()
    if not weights:
        raise EngineRefusedError(
            "llama.cpp multiplied no weight of a layer with anything",
            hint="give a model of language that llama.cpp runs layer by layer",
        )
    file = importance_file(weights, dataset=wanted.dataset, chunk_size=wanted.n_ctx)

    def pieces() -> Iterator[bytes]:
        for weight in weights:
            yield from engine.input_sums(weight)

    files = [OutputFile(target, file.header, file.n_bytes)]
    fingerprint = hashlib.sha256(file.header).hexdigest()
    with output_files(target, files, fingerprint, overwrite=overwrite, fresh=True) as writer:
        for data in file.body(pieces()):
            writer.write(data)
    return MeasuredImportance(
        output=target,
        n_weights=len(weights),
        n_chunks=n_chunks,
        n_tokens=n_chunks * wanted.n_ctx,
        n_experts_missed=sum(count == 0 for weight in weights for count in weight.counts),
    )
