"""Owns how far the weights in the finished file are from those of the source, tensor by tensor.

The file is read where llama.cpp's reader finds the tensors, and turned back into numbers by
llama.cpp's code; of the writer's work only the order of source rows is used again. Small tensors
are read whole, of large ones every eighth run of rows: enough to notice a tensor that is damaged,
swapped or shifted, at an eighth of the cost.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from localr1.errors import OutputDamagedError
from localr1.events import Progress
from localr1.verify.frames import TensorPlace
from quant.blocks.dequantize import dequantize
from quant.dtypes import TENSOR_TYPE_OF, Array, Float32Array, to_float32
from quant.families.tensor_map import MappedTensor
from quant.gguf.types import TensorType
from quant.pipeline import usable_cores
from quant.recipe import TypedTensor
from quant.rows import RowSource
from quant.source.safetensors import MappedShards

_RUN_WEIGHTS = 1 << 18  # 1 MiB as float32: it stays in the cache of a core
_EVERY_NTH_RUN = 8


@dataclass(frozen=True, slots=True)
class TensorError:
    """What became of one tensor."""

    name: str
    tensor_type: TensorType
    n_weights: int
    n_checked: int
    rms: float
    """Root mean square of the error over that of the source; 0 for a tensor of zeros."""
    largest: float
    """Largest error over the largest weight of the source."""


@dataclass(frozen=True, slots=True)
class OutputFileTensors:
    """One file of the output, and what llama.cpp finds in it."""

    path: Path
    places: Sequence[TensorPlace]


def tensor_errors(
    tensors: Sequence[TypedTensor],
    files: Sequence[OutputFileTensors],
    on_progress: Callable[[Progress], None],
    *,
    n_threads: int | None,
) -> list[TensorError]:
    """One error for each tensor, in order.

    `n_threads` None means one for each core.
    Raises: OutputDamagedError if the files lack a tensor or have it in another type or size.
    """
    shards = MappedShards(stored for item in tensors for stored in item.tensor.source.stored)
    found = _found(files)
    n_total, n_done = sum(_n_weights(item.tensor) for item in tensors), 0
    errors = []
    pool = ThreadPoolExecutor(n_threads or usable_cores(), thread_name_prefix="verify")
    try:
        jobs = [pool.submit(_tensor_error, item, shards, found) for item in tensors]
        for item, job in zip(tensors, jobs, strict=True):
            errors.append(job.result())
            n_done += _n_weights(item.tensor)
            on_progress(Progress(stage="tensors", done=n_done, total=n_total, unit="weights"))
    finally:
        pool.shutdown(cancel_futures=True)
    return errors


@dataclass(frozen=True, slots=True)
class _Found:
    view: mmap.mmap
    place: TensorPlace


def _found(files: Sequence[OutputFileTensors]) -> Mapping[str, _Found]:
    found: dict[str, _Found] = {}
    for file in files:
        with file.path.open("rb") as opened:
            view = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        found |= {place.name: _Found(view, place) for place in file.places}
    return found


def _tensor_error(
    item: TypedTensor, shards: MappedShards, found: Mapping[str, _Found]
) -> TensorError:
    tensor, tensor_type = item.tensor, item.tensor_type
    packed = _packed_rows(item, found)
    n_checked, squares, peaks = 0, np.zeros(2), np.zeros(2)  # of the error, of the source
    for start, stop in _runs(tensor):
        source = _numbers(tensor.source, tensor.source.rows(shards, start, stop))
        data = np.ascontiguousarray(packed[start:stop]).reshape(-1)
        error = dequantize(tensor_type, data, (stop - start, tensor.source.n_cols)) - source
        n_checked += source.size
        with np.errstate(invalid="ignore", over="ignore"):  # damage may look like infinity
            squares += [np.square(part, dtype=np.float64).sum() for part in (error, source)]
        peaks = np.maximum(peaks, [np.abs(part).max() for part in (error, source)])
    return TensorError(
        name=tensor.name,
        tensor_type=tensor_type,
        n_weights=_n_weights(tensor),
        n_checked=n_checked,
        rms=float(np.sqrt(_ratio(squares))),
        largest=float(_ratio(peaks)),
    )


def _numbers(source: RowSource, rows: Array) -> Float32Array:
    """Source rows as numbers; rows that are encoded already are decoded by llama.cpp."""
    if source.dtype in TENSOR_TYPE_OF:
        return to_float32(rows, source.dtype)
    data = np.ascontiguousarray(rows).view(np.uint8).reshape(-1)
    return dequantize(TensorType[source.dtype], data, (len(rows), source.n_cols))


def _packed_rows(item: TypedTensor, found: Mapping[str, _Found]) -> npt.NDArray[np.uint8]:
    """The tensor's bytes in the file, shaped (n_rows, bytes of a row); a vector counts as one."""
    name, tensor_type = item.tensor.name, item.tensor_type
    if name not in found:
        raise OutputDamagedError(f"tensor {name} is not in the file that was written")
    view, place = found[name].view, found[name].place
    n_rows, n_cols = item.tensor.source.n_rows, item.tensor.source.n_cols
    n_bytes = n_rows * tensor_type.n_bytes(n_cols)
    if (place.type_id, place.n_bytes) != (int(tensor_type), n_bytes):
        raise OutputDamagedError(f"tensor {name} has another type or size in the file")
    if place.offset + n_bytes > len(view):
        raise OutputDamagedError(f"tensor {name} reaches beyond the end of the file")
    return np.frombuffer(view, np.uint8, n_bytes, place.offset).reshape(n_rows, -1)


def _runs(tensor: MappedTensor) -> Iterator[tuple[int, int]]:
    """Which rows to look at: every run of a small tensor, some of a large one, always the last."""
    n_rows = tensor.source.n_rows
    step = max(1, _RUN_WEIGHTS // tensor.source.n_cols)
    starts = range(0, n_rows, step)
    for number, start in enumerate(starts):
        is_wanted = number % _EVERY_NTH_RUN == 0 or number == len(starts) - 1
        if is_wanted or len(starts) <= _EVERY_NTH_RUN:
            yield start, min(start + step, n_rows)


def _ratio(pair: npt.NDArray[np.float64]) -> float:
    error, source = pair.tolist()
    if error == 0:
        return 0.0
    return error / source if source else float("inf")


def _n_weights(tensor: MappedTensor) -> int:
    return tensor.source.n_rows * tensor.source.n_cols
