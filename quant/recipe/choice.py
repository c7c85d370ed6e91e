"""Owns the choice: which encoding each tensor gets for a file type, and in which order they stand.

Two routes exist in llama.cpp, and both are followed. F32, F16, BF16 and Q8_0 are what its converter
writes: one type for all matrices, in the checkpoint's order. The other types, and all types where
the source is a GGUF, are what its quantiser makes of that: sorted by layer and name, with more bits
where they pay.
Source: src/llama-quant.cpp, llama_tensor_get_type and tensor_type_fallback, version 0.3.36 of
llama-cpp-python.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from quant.errors import BadRequestError
from quant.gguf.types import FileType, TensorType
from quant.recipe.kept import is_quantisable
from quant.recipe.mix import MIXES, ModelFacts
from quant.recipe.rules import MixedTypes, Shaped, layer_of

if TYPE_CHECKING:  # both bring numpy along, which a plan does not need
    from quant.families.tensor_map import MappedTensor
    from quant.importance.matrix import TensorImportance

_Tensor = TypeVar("_Tensor", bound=Shaped)

_PLAIN = (FileType.F32, FileType.F16, FileType.BF16, FileType.Q8_0)
FILE_TYPES = (*_PLAIN, *(file_type for file_type in MIXES if file_type not in _PLAIN))
"""What a checkpoint can become."""

_SMALLER_BLOCK = {
    TensorType.IQ4_XS: TensorType.IQ4_NL,
    TensorType.Q4_K: TensorType.Q5_0,
    TensorType.Q5_K: TensorType.Q5_1,
    TensorType.Q6_K: TensorType.Q8_0,
}
"""What replaces a type of 256-weight blocks where rows are no multiple of 256."""

_Wanted: TypeAlias = Callable[[Shaped], TensorType]
"""The type of a tensor by the rules, whether its rows fit or not."""

_NO_OVERRIDES: Mapping[str, TensorType] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class TypedTensor:
    """A tensor and the encoding it gets."""

    tensor: MappedTensor
    tensor_type: TensorType
    importance: TensorImportance | None = None
    """How much its columns count, where that was measured."""


def file_type_named(name: str) -> FileType:
    """The file type by its name in any case. Raises: BadRequestError listing the known ones."""
    known = {file_type.name: file_type for file_type in FILE_TYPES}
    if name.upper() not in known:
        raise BadRequestError(f"the type {name[:40]!r} is unknown; known are {', '.join(known)}")
    return known[name.upper()]


def is_mixed(file_type: FileType) -> bool:
    """Whether a checkpoint of this type comes out as llama.cpp's quantiser would write it."""
    return file_type not in _PLAIN


def choose_types(
    tensors: Sequence[MappedTensor],
    file_type: FileType,
    facts: ModelFacts,
    *,
    overrides: Mapping[str, TensorType] = _NO_OVERRIDES,
    has_imatrix: bool = False,
) -> list[TypedTensor]:
    """Every tensor of a checkpoint with its type, in the order of the file.

    `overrides` are types by tensor name, which go before the rules.
    Raises: BadRequestError naming the tensor whose rows do not fit the type it shall have.
    """
    typed = types_of_checkpoint(
        tensors, file_type, facts, overrides=overrides, has_imatrix=has_imatrix
    )
    return [TypedTensor(tensor, tensor_type) for tensor, tensor_type in typed]


def choose_types_of_gguf(
    tensors: Sequence[MappedTensor],
    file_type: FileType,
    facts: ModelFacts,
    *,
    overrides: Mapping[str, TensorType] = _NO_OVERRIDES,
    has_imatrix: bool = False,
) -> list[TypedTensor]:
    """Every tensor of a GGUF with its new type: llama.cpp's quantiser whatever the file type.

    What is never quantised keeps the type it has. Otherwise as `choose_types`.
    """
    typed = types_of_gguf(
        tensors,
        file_type,
        facts,
        lambda tensor: TensorType[tensor.source.dtype],
        overrides=overrides,
        has_imatrix=has_imatrix,
    )
    return [TypedTensor(tensor, tensor_type) for tensor, tensor_type in typed]


def types_of_checkpoint(
    tensors: Sequence[_Tensor],
    file_type: FileType,
    facts: ModelFacts,
    *,
    overrides: Mapping[str, TensorType] = _NO_OVERRIDES,
    has_imatrix: bool = False,
) -> list[tuple[_Tensor, TensorType]]:
    """As `choose_types`, for tensors of which no more than the shapes may be known."""
    if is_mixed(file_type):
        tensors = _in_quantisers_order(tensors)
        wanted: _Wanted = MixedTypes(tensors, MIXES[file_type], facts, has_imatrix).next_type
    else:
        wanted = _always(file_type)
    return _typed(tensors, wanted, facts, overrides, lambda _tensor: TensorType.F32)


def types_of_gguf(
    tensors: Sequence[_Tensor],
    file_type: FileType,
    facts: ModelFacts,
    kept: Callable[[_Tensor], TensorType],
    *,
    overrides: Mapping[str, TensorType] = _NO_OVERRIDES,
    has_imatrix: bool = False,
) -> list[tuple[_Tensor, TensorType]]:
    """As `choose_types_of_gguf`, likewise; `kept` says which type a tensor has."""
    tensors = _in_quantisers_order(tensors)
    if file_type in MIXES:
        wanted: _Wanted = MixedTypes(tensors, MIXES[file_type], facts, has_imatrix).next_type
    else:
        wanted = _always(file_type)
    return _typed(tensors, wanted, facts, overrides, kept)


def _in_quantisers_order(tensors: Sequence[_Tensor]) -> list[_Tensor]:
    return sorted(tensors, key=lambda tensor: (layer_of(tensor.name), tensor.name))


def _always(file_type: FileType) -> _Wanted:
    tensor_type = TensorType[file_type.name]
    return lambda _tensor: tensor_type


def _typed(
    tensors: Sequence[_Tensor],
    wanted: _Wanted,
    facts: ModelFacts,
    overrides: Mapping[str, TensorType],
    kept: Callable[[_Tensor], TensorType],
) -> list[tuple[_Tensor, TensorType]]:
    """`kept` is the type of what takes no part."""
    return [
        (tensor, _chosen(tensor, wanted, overrides))
        if is_quantisable(tensor.name, tensor.shape, facts.architecture)
        else (tensor, kept(tensor))
        for tensor in tensors
    ]


def _chosen(tensor: Shaped, wanted: _Wanted, overrides: Mapping[str, TensorType]) -> TensorType:
    n_cols = tensor.shape[-1]
    if tensor.name not in overrides:
        return _fitting(wanted(tensor), n_cols)
    chosen = overrides[tensor.name]
    if n_cols % chosen.block_weights:
        raise BadRequestError(
            f"tensor {tensor.name} cannot be {chosen.name}: its rows of {n_cols} "
            f"are no multiple of {chosen.block_weights}"
        )
    return chosen


def _fitting(tensor_type: TensorType, n_cols: int) -> TensorType:
    for candidate in (tensor_type, _SMALLER_BLOCK.get(tensor_type, tensor_type)):
        if n_cols % candidate.block_weights == 0:
            return candidate
    return TensorType.F16
