"""Owns what a header says once it is read: scalars, arrays that wait to be read, tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

Scalar: TypeAlias = int | float | bool | str


@dataclass(frozen=True, slots=True)
class LazyArray:
    """An array that was stepped over; `GgufHeader.read_array` reads it."""

    item_type: int
    n_items: int
    offset: int
    """Of the first item, in bytes from the start of the file."""
    n_bytes: int

    def __len__(self) -> int:
        return self.n_items


Value: TypeAlias = Scalar | tuple[Scalar, ...] | LazyArray


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One row of the tensor table."""

    name: str
    type_name: str
    """As in `quant.gguf.types.TensorType`: `F32`, `Q4_K` ..."""
    dims: tuple[int, ...]
    """Fastest-moving first, as in ggml: (columns, rows, ...)."""
    offset: int
    """From the start of the data section."""
    n_bytes: int
