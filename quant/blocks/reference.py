"""Owns the way to `ggml_quantize_chunk` of the installed llama.cpp, whose bytes are the reference.

The library is loaded from the package's directory without importing the package: this process must
never hold an engine. ctypes releases the interpreter lock during the call, so threads quantise side
by side.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from quant.errors import KernelsMissingError
from quant.gguf.types import TensorType

Floats: TypeAlias = npt.NDArray[np.float32]
Bytes: TypeAlias = npt.NDArray[np.uint8]

_LIBRARY_NAMES = ("libggml-base.so", "libggml-base.dylib", "ggml-base.dll")


def quantize_chunk(
    tensor_type: TensorType, rows: Floats, importance: Floats | None, out: Bytes
) -> None:
    """Quantise rows into `out`, as llama.cpp does.

    Shapes: rows is (n_rows, n_cols), importance (n_cols,), both contiguous; `out` takes the bytes.
    Types that look up a grid (IQ1 to IQ3) need `ggml_quantize_init` first and are not for here.
    Raises: KernelsMissingError if there is no library, or it has another idea of the type.
    """
    weights = None if importance is None else importance.ctypes.data
    n_written = _ggml_quantize_chunk()(
        tensor_type, rows.ctypes.data, out.ctypes.data, 0, *rows.shape, weights
    )
    if n_written != out.nbytes:
        raise KernelsMissingError(
            f"llama.cpp packs {tensor_type.name} into {n_written} bytes, we expect {out.nbytes}",
            hint="install the llama-cpp-python version that localr1 names",
        )


@functools.cache
def _ggml_quantize_chunk() -> Any:
    path = library_path()
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


def library_path() -> Path:
    """Where llama.cpp's base library lies. Raises: KernelsMissingError."""
    hint = "install it: pip install llama-cpp-python"
    spec = importlib.util.find_spec("llama_cpp")
    if spec is None or spec.origin is None:
        raise KernelsMissingError("llama-cpp-python is not installed", hint=hint)
    directory = Path(spec.origin).parent / "lib"
    for name in _LIBRARY_NAMES:
        if (directory / name).is_file():
            return directory / name
    raise KernelsMissingError(f"{directory} has no libggml-base", hint=hint)
