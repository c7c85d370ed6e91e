"""Owns the types of tensors of which only their number by type is known, and their places.

A log says "169 q4_K, 29 q6_K". The mixes of llama.cpp's quantiser say which tensors those are: the
mix that gives these numbers is the one the file was made with.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache

from quant.dtypes import Array
from quant.families.tensor_map import MappedTensor
from quant.gguf.contents import TensorInfo
from quant.gguf.types import ALIGNMENT, TensorType
from quant.recipe import FILE_TYPES, ModelFacts, choose_types
from quant.rows import RowSource
from quant.source.safetensors import MappedShards


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
        typed = choose_types(tensors, file_type, facts)
        found = Counter(item.tensor_type.name for item in typed)
        found.pop("F32", None)
        if found == wanted:
            return {item.tensor.name: item.tensor_type for item in typed}
    return None


def without_rows(name: str, dims: Sequence[int], dtype: str = "F32") -> MappedTensor:
    """A tensor of which only the shape is known, for what asks about shapes only."""
    shape = tuple(reversed(dims))
    return MappedTensor(name, shape, _source(shape, dtype))


@lru_cache(maxsize=256)  # layers have the same shapes, and models hundreds of layers
def _source(shape: tuple[int, ...], dtype: str) -> RowSource:
    return RowSource(dtype, math.prod(shape[:-1]), shape[-1], 0, (), _no_rows)


def laid_out(
    tensors: Mapping[str, tuple[tuple[int, ...], str, int]],
) -> tuple[TensorInfo, ...]:
    """Tensors one after the other in a file; given are dimensions, type and bytes of each."""
    offset, rows = 0, []
    for name, (dims, type_name, n_bytes) in tensors.items():
        rows.append(TensorInfo(name, type_name, dims, offset, n_bytes))
        offset += -(-n_bytes // ALIGNMENT) * ALIGNMENT
    return tuple(rows)


def _no_rows(_shards: MappedShards, _start: int, _stop: int) -> Array:
    raise LookupError("a tensor that is only known by its shape has no rows")
