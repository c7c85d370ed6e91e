"""Owns how rows of numbers become bytes of a tensor type.

The 4- to 8-bit types are packed by `ggml_quantize_chunk` of the installed llama.cpp, so that the
bits are llama.cpp's own. The library is loaded from the package's directory without importing the
package: this process must never hold an engine. ctypes releases the interpreter lock during the
call, so threads quantise side by side. None of the types here needs `ggml_quantize_init`.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from quant.dtypes import TENSOR_TYPE_OF, Array, Float32Array, to_bfloat16, to_float16, to_float32
from quant.errors import CheckpointDamagedError, KernelsMissingError
from quant.gguf.types import TensorType

_LIBRARY_NAMES = ("libggml-base.so", "libggml-base.dylib", "ggml-base.dll")


def encode_rows(rows: Array, dtype: str, tensor_type: TensorType) -> Array:
    """Rows in a source format as the bytes of `tensor_type`, contiguous.

    Shapes: rows is (n_rows, n_cols) with n_cols a multiple of the type's block.
    Raises: CheckpointDamagedError if a row to be quantised holds NaN or infinity.
    """
    if TENSOR_TYPE_OF[dtype] is tensor_type:
        return np.ascontiguousarray(rows)
    values = to_float32(np.ascontiguousarray(rows), dtype)
    if tensor_type is TensorType.F32:
        return values
    if tensor_type is TensorType.F16:
        return to_float16(values)
    if tensor_type is TensorType.BF16:
        return to_bfloat16(values)
    return _quantise(values, tensor_type)


def _quantise(values: Float32Array, tensor_type: TensorType) -> Array:
    if not np.isfinite(values).all():
        raise CheckpointDamagedError("it holds NaN or infinity")
    n_rows, n_cols = values.shape
    packed = np.empty(n_rows * tensor_type.n_bytes(n_cols), dtype=np.uint8)
    n_written = _ggml_quantize_chunk()(
        tensor_type, values.ctypes.data, packed.ctypes.data, 0, n_rows, n_cols, None
    )
    if n_written != packed.size:
        raise KernelsMissingError(
            f"llama.cpp packs {tensor_type.name} into {n_written} bytes, we expect {packed.size}",
            hint="install the llama-cpp-python version that localr1 names",
        )
    return packed


@functools.cache
def _ggml_quantize_chunk() -> Any:
    path = _library_path()
    try:
        function = ctypes.CDLL(str(path)).ggml_quantize_chunk
    except (OSError, AttributeError) as exc:
        raise KernelsMissingError(f"cannot use {path}: {exc}") from exc
    function.restype = ctypes.c_size_t
    # type, source, destination, first value, rows, values per row, importance weights
    function.argtypes = (
        ctypes.c_int,
        ctypes.c_void_p,
        ctypes.c_void_p,
        ctypes.c_int64,
        ctypes.c_int64,
        ctypes.c_int64,
        ctypes.c_void_p,
    )
    return function


def _library_path() -> Path:
    hint = "install it: pip install llama-cpp-python"
    spec = importlib.util.find_spec("llama_cpp")
    if spec is None or spec.origin is None:
        raise KernelsMissingError("llama-cpp-python is not installed", hint=hint)
    directory = Path(spec.origin).parent / "lib"
    for name in _LIBRARY_NAMES:
        if (directory / name).is_file():
            return directory / name
    raise KernelsMissingError(f"{directory} has no libggml-base", hint=hint)
