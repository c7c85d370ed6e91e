"""Two unequal cards on one machine: RPC servers of llama.cpp that say how much memory they have.

Runs alone under an interpreter whose llama-cpp-python was built with GGML_RPC, which the project's
own need not be; it imports nothing else. `serve PORT BYTES` serves the processor as a device with
so much memory. `measure` reads one JSON object from stdin and answers with llama.cpp's log:
{"endpoints": [...], "model": path, "requests": [{"n_gpu_layers", "n_ctx", ...}]}. Buffers are
really allocated: a dry run sizes another graph when several devices hold all layers
(`ggml_backend_sched_reserve_size` forgets which backend a norm was meant for).
"""

from __future__ import annotations

import ctypes
import json
import sys
from pathlib import Path
from typing import Any

import llama_cpp.llama_cpp as c

_LIBRARIES = Path(c.__file__).parent / "lib"
_TYPE_IDS = {"f16": 1, "q4_0": 2, "q8_0": 8}
_CPU = 0  # GGML_BACKEND_DEVICE_TYPE_CPU
_GET_MEMORY = 2  # the place of `get_memory` in `ggml_backend_device_i` (ggml-backend-impl.h)

_GetMemory = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.POINTER(ctypes.c_size_t), ctypes.POINTER(ctypes.c_size_t)
)


def main() -> None:
    """Serve, or measure."""
    if sys.argv[1] == "serve":
        _serve(int(sys.argv[2]), int(sys.argv[3]))
    else:
        json.dump(_measure(json.load(sys.stdin)), sys.stdout)


def _serve(port: int, n_bytes: int) -> None:
    def get_memory(_device: int, free: Any, total: Any) -> None:
        free[0] = total[0] = n_bytes

    base = _library("ggml")
    base.ggml_backend_dev_by_type.restype = ctypes.c_void_p
    device = ctypes.c_void_p(base.ggml_backend_dev_by_type(_CPU))
    interface = ctypes.cast(device, ctypes.POINTER(ctypes.c_void_p))
    callback = _GetMemory(get_memory)  # kept: it is called as long as the server runs
    interface[_GET_MEMORY] = ctypes.cast(callback, ctypes.c_void_p)
    devices = (ctypes.c_void_p * 1)(device)
    _library("ggml-rpc").ggml_backend_rpc_start_server(
        f"127.0.0.1:{port}".encode(), None, ctypes.c_size_t(1), ctypes.c_size_t(1), devices
    )


def _measure(question: dict[str, Any]) -> list[str]:
    log: list[str] = []

    def keep(_level: int, text: bytes, _user_data: object) -> None:
        log.append(text.decode(errors="replace"))

    callback = c.llama_log_callback(keep)
    c.llama_log_set(callback, None)
    c.llama_backend_init()
    for endpoint in question["endpoints"]:
        _add_server(endpoint)
    answers = []
    for request in question["requests"]:
        log.clear()
        params = c.llama_model_default_params()
        params.n_gpu_layers = request["n_gpu_layers"]
        params.load_mode = c.LLAMA_LOAD_MODE_MMAP
        model = c.llama_model_load_from_file(question["model"].encode(), params)
        context = model and c.llama_init_from_model(model, _context_params(request))
        if not context:
            sys.exit(f"not loaded: {request}: {''.join(log)[-300:]}")
        answers.append("".join(log))
        c.llama_free(context)
        c.llama_model_free(model)
    return answers


def _add_server(endpoint: str) -> None:
    rpc, ggml = _library("ggml-rpc"), _library("ggml")
    rpc.ggml_backend_rpc_add_server.restype = ctypes.c_void_p
    registry = rpc.ggml_backend_rpc_add_server(endpoint.encode())
    ggml.ggml_backend_register(ctypes.c_void_p(registry))


def _context_params(request: dict[str, Any]) -> Any:
    params = c.llama_context_default_params()
    params.n_ctx = request["n_ctx"]
    params.n_batch = 2048
    params.n_ubatch = request["n_ubatch"]
    params.flash_attn_type = {"off": 0, "on": 1}[request["flash_attn"]]
    params.type_k = _TYPE_IDS[request["type_k"]]
    params.type_v = _TYPE_IDS[request["type_v"]]
    params.swa_full = False
    return params


def _library(name: str) -> ctypes.CDLL:
    suffix = {"darwin": "dylib", "win32": "dll"}.get(sys.platform, "so")
    prefix = "" if sys.platform == "win32" else "lib"
    return ctypes.CDLL(str(_LIBRARIES / f"{prefix}{name}.{suffix}"))


if __name__ == "__main__":
    main()
