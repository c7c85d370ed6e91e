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

from quant.dtypes import Array
from quant.errors import CheckpointDamagedError, UnsupportedError
from quant.families.tensor_map import MappedTensor
from quant.kernels import encode_rows
from quant.recipe import TypedTensor
from quant.source.safetensors import MappedShards

_SLAB_WEIGHTS = 1 << 20  # 4 MiB as float32
_SLABS_AHEAD_PER_THREAD = 3


@dataclass(frozen=True, slots=True)
class EncodedSlab:
    """Bytes ready to be written."""

    typed: TypedTensor
    data: Array
    n_weights: int
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
        slabs = ((typed, *rows) for typed in tensors for rows in _row_ranges(typed.tensor))
        jobs = (
            _submitted(pool, typed, shards, start, stop)
            for typed, start, stop in itertools.islice(slabs, n_skipped, None)
        )
        waiting.extend(itertools.islice(jobs, n_threads * _SLABS_AHEAD_PER_THREAD))
        while waiting:
            slab = waiting.popleft().result()
            waiting.extend(itertools.islice(jobs, 1))
            yield slab
    finally:
        pool.shutdown(cancel_futures=True)


def unfinished(tensors: Sequence[TypedTensor], n_slabs: int) -> Sequence[TypedTensor]:
    """The tensors of which not all slabs are among the first so many."""
    for number, typed in enumerate(tensors):
        n_slabs -= sum(1 for _ in _row_ranges(typed.tensor))
        if n_slabs < 0:
            return tensors[number:]
    return ()


def _submitted(
    pool: ThreadPoolExecutor, typed: TypedTensor, shards: MappedShards, start: int, stop: int
) -> Future[EncodedSlab]:
    # here and not in the pool: who waits for a shard to be fetched must be free to be interrupted
    shards.need(typed.tensor.source.stored)
    return pool.submit(_encode, typed, shards, start, stop)


def _row_ranges(tensor: MappedTensor) -> Iterator[tuple[int, int]]:
    """Runs of rows that fill a slab and never cross the border of a matrix in a stack."""
    step = max(1, _SLAB_WEIGHTS // tensor.source.n_cols)
    for first in range(0, tensor.source.n_rows, tensor.rows_per_matrix):
        last = first + tensor.rows_per_matrix
        for start in range(first, last, step):
            yield start, min(start + step, last)


def _encode(typed: TypedTensor, shards: MappedShards, start: int, stop: int) -> EncodedSlab:
    tensor, source = typed.tensor, typed.tensor.source
    rows = source.rows(shards, start, stop)
    importance = None
    if typed.importance is not None:
        importance = typed.importance.row(start // tensor.rows_per_matrix, source.n_cols)
    try:
        data = encode_rows(rows, source.dtype, typed.tensor_type, importance)
    except (CheckpointDamagedError, UnsupportedError) as exc:
        raise type(exc)(f"tensor {tensor.name}: {exc.message}", hint=exc.hint) from exc
    return EncodedSlab(
        typed,
        data,
        n_weights=source.n_cols * (stop - start),
        n_source_bytes=source.n_source_bytes // source.n_rows * (stop - start),
        is_last=stop == source.n_rows,
    )
