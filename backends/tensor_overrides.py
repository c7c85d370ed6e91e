"""Owns llama.cpp's overrides of where a tensor lies, as far as we need them: experts on the host.

llama_cpp declares neither the structure nor the function that names the buffer. Source:
`llama_model_tensor_buft_override` in include/llama.h and `--n-cpu-moe` in common/arg.cpp.
"""

from __future__ import annotations

import ctypes
from typing import Any


class Override(ctypes.Structure):
    """A pattern that names are searched for, and the buffer type of those that match."""

    _fields_ = (("pattern", ctypes.c_char_p), ("buffer_type", ctypes.c_void_p))


def host_experts(ggml: Any, n_layers: int) -> ctypes.Array[Override]:
    """Overrides that keep the experts of the first layers on the host, closed by an empty one."""
    ggml.ggml_backend_cpu_buffer_type.restype = ctypes.c_void_p
    ggml.ggml_backend_cpu_buffer_type.argtypes = []
    host = ggml.ggml_backend_cpu_buffer_type()
    patterns = (rb"^blk\.%d\.ffn_(up|down|gate|gate_up)_(ch|)exps" % i for i in range(n_layers))
    return (Override * (n_layers + 1))(*[Override(pattern, host) for pattern in patterns])
