"""Two unequal cards on one machine: RPC servers of llama.cpp that say how much memory they have.

Runs alone under an interpreter whose llama-cpp-python was built with GGML_RPC, which the project's
own need not be; it imports nothing else. `serve PORT BYTES` serves the processor as a device with
so much memory, `serve PORT BYTES MOST` as one that wants no buffer to be larger than MOST.
`measure` reads one JSON object from stdin and answers with llama.cpp's log:
{"endpoints": [...], "as_cards": bool, "model": path, "requests": [{"n_gpu_layers", ...}]}. With
`as_cards` the devices answer llama.cpp as CUDA's do where that decides who computes what: they
borrow matrices of the host for long batches, and have a kind of host memory of their own. Buffers
are really allocated: a dry run sizes another graph when several devices hold all layers
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
# places in `ggml_backend_device_i` (ggml-backend-impl.h)
_GET_MEMORY, _GET_HOST_BUFFER_TYPE, _OFFLOAD_OP = 2, 7, 11
_GET_MAX_SIZE = 3  # in `ggml_backend_buffer_type_i`
_BORROWING_BATCH = 32  # `op_offload_min_batch_size` in ggml-cuda.cu

_GetMemory = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.POINTER(ctypes.c_size_t), ctypes.POINTER(ctypes.c_size_t)
)
_GetBufferType = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)
_GetMaxSize = ctypes.CFUNCTYPE(ctypes.c_size_t, ctypes.c_void_p)
_OffloadOp = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.c_void_p)


class _Tensor(ctypes.Structure):
    """The beginning of `ggml_tensor` (ggml.h)."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("buffer", ctypes.c_void_p),
        ("ne", ctypes.c_int64 * 4),
    )


class _Override(ctypes.Structure):
    """`llama_model_tensor_buft_override` (llama.h)."""

    _fields_ = (("pattern", ctypes.c_char_p), ("buffer_type", ctypes.c_void_p))


def main() -> None:
    """Serve, or measure."""
    if sys.argv[1] == "serve":
        _serve(*map(int, sys.argv[2:]))
    else:
        json.dump(_measure(json.load(sys.stdin)), sys.stdout)


def _serve(port: int, n_bytes: int, most_bytes: int | None = None) -> None:
    def get_memory(_device: int, free: Any, total: Any) -> None:
        free[0] = total[0] = n_bytes

    base = _library("ggml")
    base.ggml_backend_dev_by_type.restype = ctypes.c_void_p
    device = ctypes.c_void_p(base.ggml_backend_dev_by_type(_CPU))
    callback = _GetMemory(get_memory)  # kept: it is called as long as the server runs
    _answer(device, _GET_MEMORY, callback)
    max_size = _GetMaxSize(lambda _buffer_type: most_bytes)
    if most_bytes is not None:
        _answer(ctypes.c_void_p(_host_buffer_type()), _GET_MAX_SIZE, max_size)
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
    devices = [_add_server(endpoint) for endpoint in question["endpoints"]]
    callbacks = _as_cards(devices) if question["as_cards"] else []
    answers = []
    for request in question["requests"]:
        log.clear()
        overrides = _host_experts(request["n_host_experts"])
        params = c.llama_model_default_params()
        params.n_gpu_layers = request["n_gpu_layers"]
        params.tensor_buft_overrides = ctypes.addressof(overrides) if len(overrides) > 1 else None
        params.load_mode = c.LLAMA_LOAD_MODE_MMAP
        model = c.llama_model_load_from_file(question["model"].encode(), params)
        context = model and c.llama_init_from_model(model, _context_params(request))
        if not context:
            sys.exit(f"not loaded: {request}: {''.join(log)[-300:]}")
        answers.append("".join(log))
        c.llama_free(context)
        c.llama_model_free(model)
    del callbacks  # called until here
    return answers


def _add_server(endpoint: str) -> ctypes.c_void_p:
    rpc, ggml = _library("ggml-rpc"), _library("ggml")
    rpc.ggml_backend_rpc_add_server.restype = ctypes.c_void_p
    registry = ctypes.c_void_p(rpc.ggml_backend_rpc_add_server(endpoint.encode()))
    ggml.ggml_backend_register(registry)
    ggml.ggml_backend_reg_dev_get.restype = ctypes.c_void_p
    return ctypes.c_void_p(ggml.ggml_backend_reg_dev_get(registry, ctypes.c_size_t(0)))


def _as_cards(devices: list[ctypes.c_void_p]) -> list[Any]:
    """Let devices answer as CUDA's do (`ggml_backend_cuda_device_offload_op`)."""
    base = _library("ggml-base")
    base.ggml_op_desc.restype = ctypes.c_char_p
    host = _host_buffer_type()

    def offload_op(_device: int, operation: int) -> bool:
        shape = _Tensor.from_address(operation).ne
        name = base.ggml_op_desc(ctypes.c_void_p(operation))
        sizes = {b"GET_ROWS": 0, b"MUL_MAT": shape[1], b"MUL_MAT_ID": shape[2], b"ROPE": shape[2]}
        n_rows = shape[1] * shape[2] * shape[3]
        return bool(sizes.get(name, n_rows) >= _BORROWING_BATCH)

    callbacks = [_GetBufferType(lambda _device: host), _OffloadOp(offload_op)]
    for device in devices:
        for place, callback in zip((_GET_HOST_BUFFER_TYPE, _OFFLOAD_OP), callbacks, strict=True):
            _answer(device, place, callback)
    return callbacks


def _answer(device: ctypes.c_void_p, place: int, callback: Any) -> None:
    interface = ctypes.cast(device, ctypes.POINTER(ctypes.c_void_p))
    interface[place] = ctypes.cast(callback, ctypes.c_void_p)


def _host_experts(n_layers: int) -> ctypes.Array[_Override]:
    """Overrides that keep the experts of the first layers on the host, closed by an empty one."""
    host = _host_buffer_type()
    patterns = (rb"^blk\.%d\.ffn_(up|down|gate|gate_up)_(ch|)exps" % i for i in range(n_layers))
    return (_Override * (n_layers + 1))(*[_Override(pattern, host) for pattern in patterns])


def _host_buffer_type() -> int:
    base = _library("ggml-base")
    base.ggml_backend_cpu_buffer_type.restype = ctypes.c_void_p
    found: int = base.ggml_backend_cpu_buffer_type()
    return found


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
