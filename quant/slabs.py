"""Owns the flow of weights: rows out of the mapped source, through the kernels, in file order.

A slab is a bundle of rows small enough that a few of them per thread cost megabytes whatever the
size of the tensor. Threads encode slabs ahead of the writer, across tensor borders, so that
reading, computing and writing overlap.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from quant.dtypes import Array, RowIndex, is_finite
from quant.errors import CheckpointDamagedError
from quant.families.tensor_map import MappedTensor
from quant.kernels import encode_rows
from quant.recipe import TypedTensor
from quant.source.fp8 import decode_rows
from quant.source.safetensors import MappedShards, StoredTensor

_SLAB_WEIGHTS = 1 << 20  # 4 MiB as float32
_SLABS_AHEAD_PER_THREAD = 3


@dataclass(frozen=True, slots=True)
class EncodedSlab:
    """Bytes ready to be written."""

    typed: TypedTensor
    data: Array
    n_source_bytes: int
    is_last: bool
    """Whether the tensor ends here."""


def encoded_slabs(
    tensors: Sequence[TypedTensor], shards: MappedShards, n_threads: int, *, n_skipped: int = 0
) -> Generator[EncodedSlab]:
    """The slabs of all tensors in order, but for the first few.

    Close the generator to stop the threads early.
    """
    pool = ThreadPoolExecutor(n_threads, thread_name_prefix="encode")
    waiting: deque[Future[EncodedSlab]] = deque()
    try:
        slabs = ((typed, *rows) for typed in tensors for rows in _row_ranges(typed))
        jobs = (
            pool.submit(_encode, typed, shards, start, stop)
            for typed, start, stop in itertools.islice(slabs, n_skipped, None)
        )
        waiting.extend(itertools.islice(jobs, n_threads * _SLABS_AHEAD_PER_THREAD))
        while waiting:
            slab = waiting.popleft().result()
            waiting.extend(itertools.islice(jobs, 1))
            yield slab
    finally:
        pool.shutdown(cancel_futures=True)


def _row_ranges(typed: TypedTensor) -> Iterator[tuple[int, int]]:
    n_rows, n_cols = _matrix_shape(typed.tensor.shape)
    step = max(1, _SLAB_WEIGHTS // n_cols)
    for start in range(0, n_rows, step):
        yield start, min(start + step, n_rows)


def _matrix_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns as `MappedTensor.matrix` has them: a vector is one value per row."""
    return shape[0], shape[1] if len(shape) > 1 else 1


def source_bytes(tensor: MappedTensor) -> int:
    """Bytes that a tensor takes in its file, or in memory if it was made."""
    source = tensor.source
    return source.n_bytes if isinstance(source, StoredTensor) else source.nbytes


def _encode(typed: TypedTensor, shards: MappedShards, start: int, stop: int) -> EncodedSlab:
    tensor = typed.tensor
    order = tensor.row_order()
    rows = _rows(tensor, shards, slice(start, stop) if order is None else order[start:stop])
    if not is_finite(rows, tensor.dtype):
        raise CheckpointDamagedError(f"tensor {tensor.name}: it holds NaN or infinity")
    try:
        data = encode_rows(rows, tensor.dtype, typed.tensor_type)
    except CheckpointDamagedError as exc:
        raise CheckpointDamagedError(f"tensor {tensor.name}: {exc.message}") from exc
    n_rows = _matrix_shape(tensor.shape)[0]
    n_source_bytes = source_bytes(tensor) * (stop - start) // n_rows
    return EncodedSlab(typed, data, n_source_bytes, is_last=stop == n_rows)


def _rows(tensor: MappedTensor, shards: MappedShards, rows: RowIndex) -> Array:
    source = tensor.source
    if isinstance(source, StoredTensor) and source.scale is not None:
        return decode_rows(source, shards, rows)
    values: Array = tensor.matrix(shards)[rows]
    return values
