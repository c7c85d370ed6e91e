"""Owns the mix: which encoding each tensor gets for a file type, and in which order they stand.

Two routes exist in llama.cpp, and both are followed. F32, F16, BF16 and Q8_0 are what its converter
writes: one type for all matrices, in the checkpoint's order. The 4-bit types are what its quantiser
makes of that: sorted by layer and name, with more bits where they pay.
Source: src/llama-quant.cpp, llama_tensor_get_type_impl and tensor_type_fallback, version 0.3.36 of
llama-cpp-python, for dense models without an importance matrix.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from quant.errors import BadRequestError
from quant.families.hyperparameters import Hyperparameters
from quant.families.tensor_map import MappedTensor
from quant.gguf.types import FileType, TensorType

_LAYER = re.compile(r"blk\.(\d+)\.")

LayerRule = Callable[[int, int], TensorType | None]
"""(layer, number of layers) to a type, or None to keep the base type."""


def _keep(_layer: int, _n_layer: int) -> None:
    return None


def _six_bits_where_it_pays(layer: int, n_layer: int) -> TensorType | None:
    eighth = n_layer // 8
    pays = layer < eighth or layer >= 7 * n_layer // 8 or (layer - eighth) % 3 == 2
    return TensorType.Q6_K if pays else None


def _five_bits_first_four(layer: int, _n_layer: int) -> TensorType | None:
    return TensorType.Q5_K if layer < 4 else None


def _five_bits_first_eighth(layer: int, n_layer: int) -> TensorType | None:
    return TensorType.Q5_K if layer < n_layer // 8 else None


@dataclass(frozen=True, slots=True)
class Mix:
    """Types of one quantised file type."""

    base: TensorType
    attn_v: LayerRule = _keep
    ffn_down: LayerRule = _keep


_PLAIN = (FileType.F32, FileType.F16, FileType.BF16, FileType.Q8_0)

MIXES = {
    FileType.Q4_0: Mix(TensorType.Q4_0),
    FileType.Q4_K_S: Mix(TensorType.Q4_K, _five_bits_first_four, _five_bits_first_eighth),
    FileType.Q4_K_M: Mix(TensorType.Q4_K, _six_bits_where_it_pays, _six_bits_where_it_pays),
}

_SMALLER_BLOCK = {
    TensorType.Q4_K: TensorType.Q5_0,
    TensorType.Q5_K: TensorType.Q5_1,
    TensorType.Q6_K: TensorType.Q8_0,
}
"""What replaces a type of 256-weight blocks where rows are no multiple of 256."""


@dataclass(frozen=True, slots=True)
class TypedTensor:
    """A tensor and the encoding it gets."""

    tensor: MappedTensor
    tensor_type: TensorType


def file_type_named(name: str) -> FileType:
    """The file type by its name in any case. Raises: BadRequestError listing the known ones."""
    known = {file_type.name: file_type for file_type in (*_PLAIN, *MIXES)}
    if name.upper() not in known:
        raise BadRequestError(f"the type {name[:40]!r} is unknown; known are {', '.join(known)}")
    return known[name.upper()]


def choose_types(
    tensors: Sequence[MappedTensor],
    file_type: FileType,
    architecture: str,
    parameters: Hyperparameters,
) -> list[TypedTensor]:
    """Every tensor with its type, in the order of the file."""
    if file_type not in MIXES:
        return [TypedTensor(tensor, _plain_type(tensor, file_type)) for tensor in tensors]
    mix = MIXES[file_type]
    is_tied = all(tensor.name != "output.weight" for tensor in tensors)
    is_70b = parameters.n_layer == 80 and (
        architecture == "qwen2"
        or (architecture == "llama" and parameters.n_head != parameters.n_head_kv)
    )
    typed = []
    for tensor in sorted(tensors, key=lambda tensor: (_layer_of(tensor.name), tensor.name)):
        if not _is_matrix(tensor):
            tensor_type = TensorType.F32
        elif tensor.name == ("token_embd.weight" if is_tied else "output.weight"):
            tensor_type = _output_type(tensor, mix)
        else:
            tensor_type = _mixed_type(tensor, mix, parameters.n_layer, is_70b=is_70b)
        typed.append(TypedTensor(tensor, tensor_type))
    return typed


def _plain_type(tensor: MappedTensor, file_type: FileType) -> TensorType:
    if not _is_matrix(tensor):
        return TensorType.F32
    return _fitting(TensorType[file_type.name], tensor.shape[-1])


def _output_type(tensor: MappedTensor, mix: Mix) -> TensorType:
    fits = tensor.shape[-1] % mix.base.block_weights == 0
    return _fitting(TensorType.Q6_K if fits else TensorType.Q8_0, tensor.shape[-1])


def _mixed_type(tensor: MappedTensor, mix: Mix, n_layer: int, *, is_70b: bool) -> TensorType:
    layer = _layer_of(tensor.name)
    chosen = mix.base
    if tensor.name.endswith((".attn_v.weight", ".attn_qkv.weight")):
        chosen = mix.attn_v(layer, n_layer) or chosen
        if is_70b and chosen is TensorType.Q4_K:
            chosen = TensorType.Q5_K  # eight heads share it: small, and worth more bits
    elif tensor.name.endswith(".ffn_down.weight"):
        chosen = mix.ffn_down(layer, n_layer) or chosen
    return _fitting(chosen, tensor.shape[-1])


def _fitting(tensor_type: TensorType, n_cols: int) -> TensorType:
    for candidate in (tensor_type, _SMALLER_BLOCK.get(tensor_type, tensor_type)):
        if n_cols % candidate.block_weights == 0:
            return candidate
    return TensorType.F16


def _is_matrix(tensor: MappedTensor) -> bool:
    return len(tensor.shape) > 1 and tensor.name.endswith(".weight")


def _layer_of(name: str) -> int:
    match = _LAYER.match(name)
    return int(match[1]) if match else -1
