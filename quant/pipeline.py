"""Owns a conversion from start to end: weights in, GGUF out, nothing in between on the disk.

Everything that can be wrong with the source's headers is found before the output is created.
After that the weights stream through once, and the file appears under its name when it is whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from quant.blocks.preparation import lane_kernels
from quant.blueprint import Blueprint, Source, draw, open_source
from quant.gguf.key_values import KeyValues
from quant.gguf.types import TensorType
from quant.gguf.writer import padding
from quant.importance.matrix import ImportanceMatrix
from quant.output.files import OutputWriter, output_files
from quant.output.target import require_apart
from quant.recipe import file_type_named
from quant.recipe.overrides import TypeOverride
from quant.shard_flow import ShardFlow
from quant.slabs import encoded_slabs, unfinished
from quant.source.checkpoint import Checkpoint
from quant.source.shard_store import ON_DISK, ShardStore


@dataclass(frozen=True, slots=True)
class ConvertProgress:
    """How far the weights have come."""

    bytes_done: int
    """Of the source."""
    bytes_total: int
    bytes_kept: int
    """Of `bytes_done`, what an earlier run that was cut short had done."""
    n_weights_done: int
    """By this run alone."""
    tensor: str


@dataclass(frozen=True, slots=True)
class ConvertResult:
    """What a conversion made."""

    output: Path
    architecture: str
    file_type: str
    n_tensors: int
    n_params: int
    bytes_read: int
    bytes_written: int
    seconds: float
    tensor_types: Mapping[str, int]
    """Number of tensors by type."""
    bytes_kept: int = 0
    """Of `bytes_written`, what an earlier run that was cut short had written."""
    notices: Sequence[str] = ()
    """What the user should know about the model in llama.cpp."""
    n_files: int = 1
    """Above 1: `output` is the first one, which is the one to open."""
    n_led: int = 0
    """Tensors that the importance matrix said something about."""


def convert(  # noqa: PLR0913 - one for each option
    source: Path,
    output: Path,
    *,
    file_type: str = "Q4_K_M",
    on_progress: Callable[[ConvertProgress], None] | None = None,
    overwrite: bool = False,
    fresh: bool = False,
    split_bytes: int | None = None,
    n_threads: int | None = None,
    kernels_dir: Path | None = None,
    store: ShardStore = ON_DISK,
    overrides: Sequence[TypeOverride] = (),
    importance: ImportanceMatrix | None = None,
    notes: KeyValues | None = None,
    before_writing: Callable[[Source, Blueprint], None] | None = None,
) -> ConvertResult:
    """Make a GGUF from a checkpoint directory, or from another GGUF.

    Goes on where an earlier run of the same conversion was cut short, unless `fresh`.
    `split_bytes` starts a new file where the tensor data of one would be more.
    `n_threads` None means all cores this process may use.
    Kernels that are compiled on the way are kept below `kernels_dir`, or beside their sources.
    `store` has the weights, if they do not lie in the directory.
    `overrides` are types for tensors with certain names.
    `importance` leads the search for scales, and with it the choice of types.
    `notes` go behind the metadata of the model.
    `before_writing` sees what is about to be written and may raise what it likes.
    Raises: QuantError. Whatever is raised, nothing is left but what a later run can go on with.
    """
    started_s = time.monotonic()
    chosen = file_type_named(file_type)
    opened = open_source(Path(source), store)
    output = Path(output).expanduser().absolute()
    plan = draw(
        opened,
        chosen,
        output,
        split_bytes=split_bytes,
        overrides=overrides,
        importance=importance,
        notes=notes,
    )
    for file in plan.files:
        require_apart(file.path, _inputs(opened))
    fingerprint = _fingerprint(opened, store, plan, importance)
    with (
        output_files(output, plan.files, fingerprint, overwrite=overwrite, fresh=fresh) as writer,
        lane_kernels(_n_weights_by_type(plan), kernels_dir),
    ):
        if before_writing is not None:
            before_writing(opened, plan)
        left = unfinished(plan.tensors, writer.kept.n_slabs)
        flow = ShardFlow(store, left)
        store.expect(flow.uses, output, plan.n_bytes - writer.n_written)
        bytes_read = _write(writer, plan, flow, n_threads or usable_cores(), on_progress or _ignore)
    return ConvertResult(
        output=plan.files[0].path,
        architecture=plan.architecture,
        file_type=chosen.name,
        n_tensors=len(plan.tensors),
        n_params=plan.n_params,
        bytes_read=bytes_read,
        bytes_written=plan.n_bytes,
        seconds=time.monotonic() - started_s,
        tensor_types=plan.tensor_types,
        bytes_kept=writer.kept.n_written,
        notices=plan.notices,
        n_files=len(plan.files),
        n_led=plan.n_led,
    )


def _inputs(source: Source) -> set[Path]:
    """The files that weights and metadata are read from."""
    paths = {tensor.path for tensor in source.tensors.values()}
    # the first part of a GGUF may have no tensors
    return paths if isinstance(source, Checkpoint) else paths | {source.header.path}


def _fingerprint(
    source: Source, store: ShardStore, plan: Blueprint, importance: ImportanceMatrix | None
) -> str:
    """Stands for everything the output depends on; weights by their files' identities."""
    digest = hashlib.sha256()
    for file in plan.files:
        digest.update(file.header)
    if isinstance(source, Checkpoint):
        digest.update(json.dumps(source.config, sort_keys=True).encode())
    for path in sorted({tensor.path for tensor in source.tensors.values()}):
        digest.update(f"{path.name}\n{store.identity(path)}\n".encode())
    if importance is not None:
        digest.update(importance.digest.encode())
    return digest.hexdigest()


def _n_weights_by_type(plan: Blueprint) -> Counter[tuple[TensorType, bool]]:
    """How much there is to encode: by type, and whether with importance weights."""
    counts: Counter[tuple[TensorType, bool]] = Counter()
    for item in plan.tensors:
        counts[item.tensor_type, item.importance is not None] += math.prod(item.tensor.shape)
    return counts


def _write(
    writer: OutputWriter,
    plan: Blueprint,
    flow: ShardFlow,
    n_threads: int,
    on_progress: Callable[[ConvertProgress], None],
) -> int:
    bytes_total = sum(item.tensor.source.n_source_bytes for item in plan.tensors)
    bytes_kept = writer.kept.n_read
    n_slabs, bytes_done, n_weights_done = writer.kept.n_slabs, bytes_kept, 0
    slabs = encoded_slabs(plan.tensors, flow.mapped, n_threads, n_skipped=n_slabs)
    with contextlib.closing(slabs):
        for slab in slabs:
            writer.write(slab.data.data.cast("B"))
            if slab.is_last:
                writer.write(bytes(padding(writer.offset)))
            n_slabs += 1
            bytes_done += slab.n_source_bytes
            n_weights_done += slab.n_weights
            writer.mark(n_slabs, bytes_done)
            if slab.is_last:
                flow.written(slab.typed, writer.settle)
            on_progress(
                ConvertProgress(
                    bytes_done, bytes_total, bytes_kept, n_weights_done, slab.typed.tensor.name
                )
            )
    return bytes_done


def usable_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _ignore(_progress: ConvertProgress) -> None:
    """Nobody watches."""
