"""Owns how rows of numbers become bytes of a tensor type.

Types of single numbers are conversions of numpy; types of blocks are packed by `blocks.registry`,
with the bytes of llama.cpp's `ggml_quantize_chunk`. Neither holds the interpreter lock while it
works, so threads encode side by side.
"""

from __future__ import annotations

import numpy as np

from quant.blocks.registry import quantize
from quant.blocks.scales import has_finite_scales
from quant.dtypes import (
    TENSOR_TYPE_OF,
    Array,
    Float32Array,
    is_finite,
    to_bfloat16,
    to_float16,
    to_float32,
)
from quant.errors import CheckpointDamagedError, UnsupportedError
from quant.gguf.types import TensorType


def encode_rows(
    rows: Array, dtype: str, tensor_type: TensorType, importance: Float32Array | None = None
) -> Array:
    """Rows in a source format as the bytes of `tensor_type`, contiguous.

    Shapes: rows is (n_rows, n_cols) with n_cols a multiple of the type's block; importance, how
    much each column counts where a block's scale is searched for, is (n_cols,).
    Rows whose dtype is the name of a tensor type are encoded already, and must keep it.
    Raises: CheckpointDamagedError if there is NaN or infinity, UnsupportedError for a type that is
    only read, and for finite weights that are NaN or infinity in the type.
    """
    if dtype not in TENSOR_TYPE_OF and dtype == tensor_type.name:
        return _checked(rows, tensor_type)
    if not is_finite(rows, dtype):
        raise CheckpointDamagedError("it holds NaN or infinity")
    if TENSOR_TYPE_OF[dtype] is tensor_type:
        return np.ascontiguousarray(rows)
    values = to_float32(np.ascontiguousarray(rows), dtype)
    if tensor_type is TensorType.F32:
        return values
    encoded = _encoded(values, tensor_type, importance)
    if not _is_finite_as(encoded, tensor_type):
        raise UnsupportedError(
            f"its weights are too large for {tensor_type.name}",
            hint="--tensor-type NAME=F32 leaves it as it is",
        )
    return encoded


def _encoded(
    values: Float32Array, tensor_type: TensorType, importance: Float32Array | None
) -> Array:
    if tensor_type is TensorType.F16:
        return to_float16(values)
    if tensor_type is TensorType.BF16:
        return to_bfloat16(values)
    return quantize(tensor_type, values, importance)


def _is_finite_as(encoded: Array, tensor_type: TensorType) -> bool:
    if tensor_type.name in TENSOR_TYPE_OF:
        return is_finite(encoded, tensor_type.name)
    return has_finite_scales(encoded, tensor_type)


def _checked(rows: Array, tensor_type: TensorType) -> Array:
    encoded = np.ascontiguousarray(rows)
    if not has_finite_scales(encoded, tensor_type):
        raise CheckpointDamagedError("it holds NaN or infinity")
    return encoded
