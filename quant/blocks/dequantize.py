"""Owns the way back from bytes to numbers, through llama.cpp's own code.

What checks a conversion must not be written by whoever wrote the conversion: `to_float` of the
installed llama.cpp is what will read the weights in the end. Like the quantiser, it comes from a
library without an engine and lets go of the interpreter lock.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import numpy as np

from quant.blocks.reference import Bytes, Floats, library_path
from quant.errors import KernelsMissingError
from quant.gguf.types import TensorType


class _TypeTraits(ctypes.Structure):
    """Source: struct ggml_type_traits in ggml/include/ggml.h."""

    _fields_ = (
        ("type_name", ctypes.c_char_p),
        ("blck_size", ctypes.c_int64),
        ("blck_size_interleave", ctypes.c_int64),
        ("type_size", ctypes.c_size_t),
        ("is_quantized", ctypes.c_bool),
        ("to_float", ctypes.c_void_p),
        ("from_float_ref", ctypes.c_void_p),
    )


def dequantize(tensor_type: TensorType, data: Bytes, shape: tuple[int, int]) -> Floats:
    """The numbers that rows of `tensor_type` stand for.

    Shapes: data holds exactly the bytes of (n_rows, n_cols) = `shape` weights, contiguous.
    Raises: KernelsMissingError if llama.cpp does not know the type, or not by this size.
    """
    n_weights = shape[0] * shape[1]
    if data.nbytes != tensor_type.n_bytes(n_weights):
        raise ValueError(f"{data.nbytes} bytes are not {n_weights} weights of {tensor_type.name}")
    if tensor_type is TensorType.F32:
        return data.view("<f4").reshape(shape)
    values = np.empty(shape, np.float32)
    _to_float(tensor_type)(data.ctypes.data, values.ctypes.data, n_weights)
    return values


@functools.cache
def _to_float(tensor_type: TensorType) -> Any:
    path = library_path()
    try:
        get_traits = ctypes.CDLL(str(path)).ggml_get_type_traits
    except (OSError, AttributeError) as exc:
        raise KernelsMissingError(f"cannot use {path}: {exc}") from exc
    get_traits.restype = ctypes.POINTER(_TypeTraits)
    get_traits.argtypes = (ctypes.c_int,)
    traits = get_traits(tensor_type).contents
    if not traits.to_float or traits.type_size != tensor_type.block_bytes:
        raise KernelsMissingError(
            f"llama.cpp does not read {tensor_type.name} as we know it",
            hint="install the llama-cpp-python version that localr1 names",
        )
    prototype = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
    return prototype(traits.to_float)
