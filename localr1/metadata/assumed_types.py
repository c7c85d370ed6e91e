"""Owns the types of tensors of which only their number by type is known, and their places.

A log says "169 q4_K, 29 q6_K". The mixes of llama.cpp's quantiser say which tensors those are: the
mix that gives these numbers is the one the file was made with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from quant.gguf.contents import TensorInfo
from quant.gguf.types import ALIGNMENT, TensorType
from quant.recipe import FILE_TYPES, ModelFacts, types_of_checkpoint


class ShapedTensor(NamedTuple):
    """A tensor of which only the shape is known, for what asks about shapes only."""

    name: str
    shape: tuple[int, ...]
    """Length of a row last."""
    type_name: str = "F32"
    """The type it has where it is read."""


def types_by_count(
    dims: Mapping[str, tuple[int, ...]], counts: Mapping[str, int], facts: ModelFacts
) -> dict[str, TensorType] | None:
    """The type of each tensor, by name; None where no mix gives these numbers.

    `dims` are ggml's, row length first. Numbers of F32 are not compared: logs count tensors of
    constants among them.
    """
    wanted = {name.upper(): n for name, n in counts.items() if name.upper() != "F32"}
    tensors = [without_rows(name, shape) for name, shape in dims.items()]
    for file_type in FILE_TYPES:
        typed = types_of_checkpoint(tensors, file_type, facts)
        found = Counter(tensor_type.name for _, tensor_type in typed)
        found.pop("F32", None)
        if found == wanted:
            return {tensor.name: tensor_type for tensor, tensor_type in typed}
    return None


def without_rows(name: str, dims: Sequence[int], type_name: str = "F32") -> ShapedTensor:
    """A tensor by its dimensions in ggml's order, row length first."""
    return ShapedTensor(name, tuple(reversed(dims)), type_name)


def laid_out(
    tensors: Mapping[str, tuple[tuple[int, ...], str, int]],
) -> tuple[TensorInfo, ...]:
    """Tensors one after the other in a file; given are dimensions, type and bytes of each."""
    offset, rows = 0, []
    for name, (dims, type_name, n_bytes) in tensors.items():
        rows.append(TensorInfo(name, type_name, dims, offset, n_bytes))
        offset += -(-n_bytes // ALIGNMENT) * ALIGNMENT
    return tuple(rows)
