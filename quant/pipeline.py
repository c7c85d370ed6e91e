"""Owns a conversion from start to end: checkpoint in, GGUF out, nothing in between on the disk.

Everything that can be wrong with the checkpoint's headers is found before the output is created.
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

from quant.architecture import Architecture, architecture_of
from quant.checkpoint import Checkpoint, open_checkpoint
from quant.dtypes import BYTES_OF
from quant.errors import CheckpointDamagedError
from quant.gguf_types import FileType, KeyValues
from quant.gguf_writer import TensorEntry, encode_header, file_bytes, padding
from quant.hyperparameters import Hyperparameters, read_hyperparameters
from quant.metadata import add_general, add_model
from quant.output_files import OutputFile, OutputWriter, output_files
from quant.read_safetensors import MappedShards, StoredTensor
from quant.recipe import MIXES, TypedTensor, choose_types, file_type_named
from quant.slabs import encoded_slabs
from quant.tensor_map import MappedTensor, map_tensors
from quant.tokenizer import add_tokenizer


@dataclass(frozen=True, slots=True)
class ConvertProgress:
    """How far the weights have come."""

    bytes_done: int
    """Of the source."""
    bytes_total: int
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


def convert(
    source: Path,
    output: Path,
    *,
    file_type: str = "Q4_K_M",
    on_progress: Callable[[ConvertProgress], None] | None = None,
    overwrite: bool = False,
    fresh: bool = False,
    n_threads: int | None = None,
) -> ConvertResult:
    """Make a GGUF from a checkpoint directory.

    Goes on where an earlier run of the same conversion was cut short, unless `fresh`.
    `n_threads` None means all cores this process may use.
    Raises: QuantError. Whatever is raised, nothing is left but what a later run can go on with.
    """
    started_s = time.monotonic()
    chosen = file_type_named(file_type)
    checkpoint = open_checkpoint(Path(source))
    output = Path(output).expanduser().absolute()
    try:
        plan = _planned(checkpoint, chosen)
    except RecursionError as exc:
        raise CheckpointDamagedError(f"a JSON file in {source} nests too deep") from exc
    file = OutputFile(output, plan.header, plan.n_bytes)
    with output_files(
        output, [file], _fingerprint(checkpoint, plan), overwrite=overwrite, fresh=fresh
    ) as writer:
        bytes_read = _write(writer, plan, n_threads or _n_cores(), on_progress or _ignore)
    return ConvertResult(
        output=output,
        architecture=plan.architecture,
        file_type=chosen.name,
        n_tensors=len(plan.tensors),
        n_params=plan.n_params,
        bytes_read=bytes_read,
        bytes_written=plan.n_bytes,
        seconds=time.monotonic() - started_s,
        tensor_types=dict(Counter(item.tensor_type.name for item in plan.tensors)),
        bytes_kept=writer.kept.n_written,
    )


@dataclass(frozen=True, slots=True)
class _Plan:
    """The output, complete but for the weights."""

    architecture: str
    header: bytes
    tensors: Sequence[TypedTensor]
    n_params: int
    n_bytes: int
    """Of the whole file."""


def _planned(checkpoint: Checkpoint, file_type: FileType) -> _Plan:
    architecture = architecture_of(checkpoint.config)
    parameters = read_hyperparameters(checkpoint.config, architecture.defaults)
    mapped = map_tensors(checkpoint, architecture, parameters)
    typed = choose_types(mapped, file_type, architecture.name, parameters)
    entries = [TensorEntry(item.tensor.name, item.tensor.shape, item.tensor_type) for item in typed]
    n_params = sum(math.prod(tensor.shape) for tensor in mapped)
    key_values = _metadata(checkpoint, architecture, parameters, file_type, n_params=n_params)
    header = encode_header(key_values, entries)
    return _Plan(architecture.name, header, typed, n_params, file_bytes(header, entries))


def _metadata(
    checkpoint: Checkpoint,
    architecture: Architecture,
    parameters: Hyperparameters,
    file_type: FileType,
    *,
    n_params: int,
) -> KeyValues:
    key_values = KeyValues()
    key_values.string("general.architecture", architecture.name)
    add_general(key_values, checkpoint, n_params)
    add_model(key_values, architecture, parameters, file_type)
    add_tokenizer(key_values, checkpoint, architecture, parameters)
    if file_type in MIXES:
        # llama.cpp's quantiser sets these two anew, which puts them last
        key_values.move_to_end("general.quantization_version")
        key_values.move_to_end("general.file_type")
    return key_values


def _fingerprint(checkpoint: Checkpoint, plan: _Plan) -> str:
    """Stands for everything the output depends on; weights by their files' sizes and dates."""
    digest = hashlib.sha256(plan.header)
    digest.update(json.dumps(checkpoint.config, sort_keys=True).encode())
    for path in sorted({tensor.path for tensor in checkpoint.tensors.values()}):
        status = path.stat()
        digest.update(f"{path.name}\n{status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _write(
    writer: OutputWriter,
    plan: _Plan,
    n_threads: int,
    on_progress: Callable[[ConvertProgress], None],
) -> int:
    bytes_total = sum(_source_bytes(item.tensor) for item in plan.tensors)
    n_slabs, bytes_done = writer.kept.n_slabs, writer.kept.n_read
    shards = MappedShards(
        item.tensor.source for item in plan.tensors if isinstance(item.tensor.source, StoredTensor)
    )
    slabs = encoded_slabs(plan.tensors, shards, n_threads, n_skipped=n_slabs)
    with contextlib.closing(slabs):
        for slab in slabs:
            writer.write(slab.data.data.cast("B"))
            if slab.is_last:
                writer.write(bytes(padding(writer.offset)))
            n_slabs += 1
            bytes_done += slab.n_source_bytes
            writer.mark(n_slabs, bytes_done)
            on_progress(ConvertProgress(bytes_done, bytes_total, slab.typed.tensor.name))
    return bytes_done


def _source_bytes(tensor: MappedTensor) -> int:
    return math.prod(tensor.shape) * BYTES_OF[tensor.dtype]


def _n_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _ignore(_progress: ConvertProgress) -> None:
    """Nobody watches."""
