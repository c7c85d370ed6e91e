"""ggml's own GGUF reader through ctypes: the second opinion on headers, and a fast one."""

from __future__ import annotations

import ctypes
import importlib.util
import sys
from pathlib import Path
from typing import Any

_STRING, _ARRAY = 8, 9
_GETTERS = {4: ("u32", ctypes.c_uint32), 6: ("f32", ctypes.c_float), 7: ("bool", ctypes.c_bool)}


class _InitParams(ctypes.Structure):
    _fields_ = (("no_alloc", ctypes.c_bool), ("context", ctypes.c_void_p))


def read_with_ggml(path: Path) -> tuple[dict[str, Any], list[tuple[str, int, int]], int]:
    """Key-values (an array gives its length), tensors as (name, offset, bytes), and data offset."""
    ggml = _library()
    gguf = ggml.gguf_init_from_file(str(path).encode(), _InitParams(no_alloc=True, context=None))
    assert gguf, f"ggml refused {path}"
    handle = ctypes.c_void_p(gguf)
    values = {}
    for i in range(ggml.gguf_get_n_kv(handle)):
        index = ctypes.c_int64(i)
        values[ggml.gguf_get_key(handle, index).decode()] = _value(ggml, handle, index)
    tensors = []
    for i in range(ggml.gguf_get_n_tensors(handle)):
        index = ctypes.c_int64(i)
        name = ggml.gguf_get_tensor_name(handle, index).decode()
        offset = ggml.gguf_get_tensor_offset(handle, index)
        tensors.append((name, offset, ggml.gguf_get_tensor_size(handle, index)))
    data_offset: int = ggml.gguf_get_data_offset(handle)
    ggml.gguf_free(handle)
    return values, tensors, data_offset


def _value(ggml: Any, handle: ctypes.c_void_p, index: ctypes.c_int64) -> Any:
    kind = ggml.gguf_get_kv_type(handle, index)
    if kind == _ARRAY:
        return ggml.gguf_get_arr_n(handle, index)
    if kind == _STRING:
        return ggml.gguf_get_val_str(handle, index).decode(errors="replace")
    name, c_type = _GETTERS[kind]
    getter = getattr(ggml, f"gguf_get_val_{name}")
    getter.restype = c_type
    return getter(handle, index)


def _library() -> Any:
    found = importlib.util.find_spec("llama_cpp")
    assert found is not None
    assert found.origin is not None
    suffix = "dylib" if sys.platform == "darwin" else "so"
    ggml = ctypes.CDLL(str(Path(found.origin).parent / "lib" / f"libggml-base.{suffix}"))
    ggml.gguf_init_from_file.argtypes = (ctypes.c_char_p, _InitParams)
    for name, result in (
        ("init_from_file", ctypes.c_void_p),
        ("get_n_kv", ctypes.c_int64),
        ("get_n_tensors", ctypes.c_int64),
        ("get_key", ctypes.c_char_p),
        ("get_val_str", ctypes.c_char_p),
        ("get_arr_n", ctypes.c_size_t),
        ("get_tensor_name", ctypes.c_char_p),
        ("get_tensor_offset", ctypes.c_size_t),
        ("get_tensor_size", ctypes.c_size_t),
        ("get_data_offset", ctypes.c_size_t),
    ):
        getattr(ggml, f"gguf_{name}").restype = result
    return ggml
