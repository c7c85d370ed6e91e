"""Owns the number formats of checkpoints: their sizes, and how they become float32.

Names are those of the safetensors format. numpy has no bfloat16; its 16 bits are the upper half
of a float32, so two shifts are the whole conversion.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from quant.gguf.types import TensorType

Array: TypeAlias = npt.NDArray[np.generic]
Float32Array: TypeAlias = npt.NDArray[np.float32]
RowIndex: TypeAlias = slice | npt.NDArray[np.intp]
"""Which rows of a matrix: a run of them, or their numbers."""

BYTES_OF = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1,
    "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1,
}  # fmt: skip
"""Bytes per value of every dtype a safetensors header may name in whole bytes."""

NUMPY_OF: dict[str, np.dtype[np.generic]] = {
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "F8_E4M3": np.dtype("u1"),
    "U8": np.dtype("u1"),
}
"""How the bits of the dtypes we convert are held in numpy."""

TENSOR_TYPE_OF = {
    "F32": TensorType.F32,
    "F16": TensorType.F16,
    "BF16": TensorType.BF16,
    "MXFP4": TensorType.MXFP4,
}
"""The GGUF encoding with the same bits."""

_MXFP4_BYTES = 17
"""Of a block: the exponent of its scale plus 127, then 32 codes."""
_MXFP4_VALUES = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6], dtype=np.float32)
"""What a code means, but for its fourth bit, the sign."""


_EXPONENT_BITS = {"F32": ("<u4", 0x7F800000), "F16": ("<u2", 0x7C00), "BF16": ("<u2", 0x7F80)}
"""An unsigned integer of the same size, and the bits that are all set in NaN and infinity only."""


def is_finite(values: Array, dtype: str) -> bool:
    """Whether no value is NaN or infinite; looks at the bits and converts nothing."""
    if dtype == "MXFP4":
        return not bool((values.reshape(-1, _MXFP4_BYTES)[:, 0] == 0xFF).any())
    unsigned, mask = _EXPONENT_BITS[dtype]
    bits = values.view(unsigned)
    return not bool(((bits & mask) == mask).any())


def to_float32(values: Array, dtype: str) -> Float32Array:
    """The values as float32, exactly."""
    if dtype == "BF16":
        return (values.astype(np.uint32) << np.uint32(16)).view(np.float32)
    if dtype == "MXFP4":
        return _mxfp4_to_float32(values)
    return values.astype(np.float32)


def _mxfp4_to_float32(values: Array) -> Float32Array:
    blocks = values.view(np.uint8).reshape(len(values), -1, _MXFP4_BYTES)
    exponents = blocks[:, :, :1].astype(np.int32) - 127
    codes = np.concatenate([blocks[:, :, 1:] & 15, blocks[:, :, 1:] >> 4], axis=-1)
    signed = np.concatenate([_MXFP4_VALUES, -_MXFP4_VALUES])[codes]
    numbers: Float32Array = np.ldexp(signed, exponents)
    return numbers.reshape(len(values), -1)


def to_bfloat16(values: Float32Array) -> npt.NDArray[np.uint16]:
    """Nearest bfloat16, ties to even, NaN kept quiet. Source: ggml-impl.h, fp32_to_bf16."""
    bits = values.view(np.uint32)
    is_nan = (bits & np.uint32(0x7FFFFFFF)) > np.uint32(0x7F800000)
    rounded = (bits + (np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1)))) >> np.uint32(
        16
    )
    quiet = (bits >> np.uint32(16)) | np.uint32(64)
    return np.where(is_nan, quiet, rounded).astype(np.uint16)


def to_float16(values: Float32Array) -> npt.NDArray[np.float16]:
    """Nearest float16, ties to even; too large becomes infinite, as in llama.cpp."""
    with np.errstate(over="ignore"):
        return values.astype(np.float16)
