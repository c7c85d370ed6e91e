"""Owns where the rows of an output tensor come from: sources that compose.

A source hands out any run of its rows and holds none of them, so that a tensor of any size costs
the memory of the rows that are asked for. Rows are the raw bits of a number format, in two
dimensions: a vector is one value per row, the matrices of a stack follow each other.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from quant.dtypes import Array, Float32Array, RowIndex, to_float32
from quant.source import mxfp4
from quant.source.fp8 import decode_rows
from quant.source.safetensors import MappedShards, StoredTensor


@dataclass(frozen=True, slots=True, eq=False)
class RowSource:
    """The rows of one output tensor. What makes one: the functions below, or a family's own."""

    dtype: str
    """Their number format: the stored one's, or F32 if they are computed."""
    n_rows: int
    """Of all matrices together."""
    n_cols: int
    n_source_bytes: int
    """What they take in the checkpoint, without scales, or in memory if they were made. The same
    for every row."""
    stored: tuple[StoredTensor, ...]
    """Every stored tensor that is read."""
    rows: Callable[[MappedShards, int, int], Array]
    """Rows from a first one to before a last one; perhaps a view of the mapped file."""


def stored_rows(tensor: StoredTensor) -> RowSource:
    """A stored tensor as it is; 8-bit floats times their scales."""
    return RowSource(
        dtype=tensor.dtype,
        n_rows=_n_rows(tensor),
        n_cols=math.prod(tensor.shape) // _n_rows(tensor),
        n_source_bytes=tensor.n_bytes,
        stored=(tensor,),
        rows=lambda shards, start, stop: _taken(tensor, shards, slice(start, stop)),
    )


def picked_rows(tensor: StoredTensor, period: int, order: Sequence[int]) -> RowSource:
    """Some rows of a stored tensor, or all of them in another order, the same in every group.

    Of each `period` rows, those that `order` numbers come out, in its order.
    """

    def rows(shards: MappedShards, start: int, stop: int) -> Array:
        group, place = np.divmod(np.arange(start, stop), len(order))
        return _taken(tensor, shards, group * period + np.asarray(order)[place])

    everything = stored_rows(tensor)
    return replace(
        everything,
        n_rows=everything.n_rows // period * len(order),
        n_source_bytes=everything.n_source_bytes // period * len(order),
        rows=rows,
    )


def transposed_rows(source: RowSource, rows_per_matrix: int) -> RowSource:
    """A stack of matrices, each with rows and columns swapped.

    Matrices that are computed must be small: a whole one is made to hand out one of its rows.
    """

    def rows(shards: MappedShards, start: int, stop: int) -> Array:
        first, last = start // source.n_cols, -(-stop // source.n_cols)
        matrices = source.rows(shards, first * rows_per_matrix, last * rows_per_matrix)
        turned = matrices.reshape(-1, rows_per_matrix, source.n_cols).swapaxes(1, 2)
        before = first * source.n_cols
        return turned.reshape(-1, rows_per_matrix)[start - before : stop - before]

    return replace(
        source,
        n_rows=source.n_rows // rows_per_matrix * source.n_cols,
        n_cols=rows_per_matrix,
        rows=rows,
    )


def picked_columns(tensor: StoredTensor, step: int, first: int) -> RowSource:
    """Every `step`th column of a stored tensor, from the `first` on."""
    everything = stored_rows(tensor)
    return replace(
        everything,
        n_cols=everything.n_cols // step,
        n_source_bytes=everything.n_source_bytes // step,
        rows=lambda shards, start, stop: _taken(tensor, shards, slice(start, stop))[:, first::step],
    )


def stacked_rows(parts: Sequence[RowSource]) -> RowSource:
    """Sources of equal width behind each other: experts, or matrices fused along their rows.

    If their formats differ, all become F32.
    """
    dtypes = {part.dtype for part in parts}
    dtype = dtypes.pop() if len(dtypes) == 1 else "F32"
    ends = list(itertools.accumulate(part.n_rows for part in parts))

    def rows(shards: MappedShards, start: int, stop: int) -> Array:
        pieces = []
        # found, not searched for: a stack may have hundreds of parts, and thousands of slabs
        number = bisect.bisect_right(ends, start)
        while start < stop:
            part, end = parts[number], ends[number]
            first = end - part.n_rows
            piece = part.rows(shards, start - first, min(stop, end) - first)
            pieces.append(piece if part.dtype == dtype else to_float32(piece, part.dtype))
            start, number = end, number + 1
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    return RowSource(
        dtype=dtype,
        n_rows=ends[-1],
        n_cols=parts[0].n_cols,
        n_source_bytes=sum(part.n_source_bytes for part in parts),
        stored=tuple(tensor for part in parts for tensor in part.stored),
        rows=rows,
    )


def shifted_rows(source: RowSource, shift: float) -> RowSource:
    """A source with a number added to every value, in float32."""

    def rows(shards: MappedShards, start: int, stop: int) -> Array:
        return to_float32(source.rows(shards, start, stop), source.dtype) + np.float32(shift)

    return replace(source, dtype="F32", rows=rows)


def made_vector(values: Float32Array) -> RowSource:
    """A vector that is in no checkpoint."""
    return RowSource(
        dtype="F32",
        n_rows=values.size,
        n_cols=1,
        n_source_bytes=values.nbytes,
        stored=(),
        rows=lambda _shards, start, stop: values[start:stop].reshape(-1, 1),
    )


def _n_rows(tensor: StoredTensor) -> int:
    return math.prod(tensor.shape[:-1]) if len(tensor.shape) > 1 else tensor.shape[0]


def _taken(tensor: StoredTensor, shards: MappedShards, rows: RowIndex) -> Array:
    if tensor.dtype == mxfp4.DTYPE:
        return mxfp4.pack_rows(tensor, shards, rows)
    if tensor.scale is not None:
        return decode_rows(tensor, shards, rows)
    values: Array = shards.matrix(tensor)[rows]
    return values
