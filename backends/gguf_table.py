"""Owns the tensor table of a GGUF file as llama.cpp's own reader sees it.

The second opinion on a file that our writer made: names, types, places and sizes as the program
that will load it finds them. Source: ggml/include/gguf.h. For a child process only: the reader
aborts on some damaged files.
"""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass
from typing import Any

from backends.errors import LlamaRefusedError


@dataclass(frozen=True, slots=True)
class TableEntry:
    """One tensor of a file."""

    name: str
    type_id: int
    """ggml_type."""
    offset: int
    """From the start of the file."""
    n_bytes: int


class _InitParams(ctypes.Structure):
    _fields_ = (("no_alloc", ctypes.c_bool), ("context", ctypes.c_void_p))


def read_table(library: Any, path: str) -> tuple[TableEntry, ...]:
    """The tensors of a file in order. `library` gives access to ggml's symbols.

    Raises: LlamaRefusedError if ggml takes the file for no GGUF.
    """
    ggml = _declare(library)
    gguf = ggml.gguf_init_from_file(os.fsencode(path), _InitParams(no_alloc=True, context=None))
    if not gguf:
        raise LlamaRefusedError(f"llama.cpp does not read {path}")
    start = ggml.gguf_get_data_offset(gguf)
    entries = tuple(
        TableEntry(
            name=ggml.gguf_get_tensor_name(gguf, index).decode("utf-8", errors="replace"),
            type_id=ggml.gguf_get_tensor_type(gguf, index),
            offset=start + ggml.gguf_get_tensor_offset(gguf, index),
            n_bytes=ggml.gguf_get_tensor_size(gguf, index),
        )
        for index in range(ggml.gguf_get_n_tensors(gguf))
    )
    ggml.gguf_free(gguf)
    return entries


def _declare(library: Any) -> Any:
    handle, size, index = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int64
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "gguf_init_from_file": (handle, [ctypes.c_char_p, _InitParams]),
        "gguf_free": (None, [handle]),
        "gguf_get_data_offset": (size, [handle]),
        "gguf_get_n_tensors": (index, [handle]),
        "gguf_get_tensor_name": (ctypes.c_char_p, [handle, index]),
        "gguf_get_tensor_type": (ctypes.c_int, [handle, index]),
        "gguf_get_tensor_offset": (size, [handle, index]),
        "gguf_get_tensor_size": (size, [handle, index]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
