"""Owns the import of llama_cpp, the only one in the program, and ggml's device registry.

Importing this module loads native code, so only the engine's child process does. The low-level
functions are used, not `llama_cpp.Llama`: its streaming detokenises the whole answer at every
token, it copies logits into numpy, and it compiles the model's chat template as it loads.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Sequence
from typing import Any

from backends.allocation_limits import allocation_limits
from backends.cache_types import cache_type
from backends.device import Device, DeviceKind
from backends.errors import DeviceNotFoundError, LlamaMissingError, LlamaRefusedError
from backends.gguf_table import TableEntry, read_table
from backends.llama_model import LlamaModel
from backends.llama_vocabulary import LlamaVocabulary
from backends.machine import Machine, usable_memory
from backends.native import AbortFlag
from backends.observer import Observer
from backends.parameters import EngineParameters
from backends.tensor_overrides import host_experts

_KINDS = {
    "CPU": DeviceKind.CPU,
    "CUDA": DeviceKind.CUDA,
    "MTL": DeviceKind.METAL,
    "Metal": DeviceKind.METAL,
    "ROCm": DeviceKind.ROCM,
    "Vulkan": DeviceKind.VULKAN,
    "SYCL": DeviceKind.SYCL,
    "RPC": DeviceKind.RPC,
}
_DEVICE_TYPE_IGPU = 2  # enum ggml_backend_dev_type in ggml/include/ggml-backend.h
_DEVICE_TYPE_ACCEL = 3  # BLAS and AMX: helpers of the CPU with no memory of their own
_FLASH_ATTN = {"auto": -1, "off": 0, "on": 1}
_SPLIT_MODE = {"none": 0, "layer": 1, "row": 2}
_LOAD_MODE_NONE, _LOAD_MODE_MMAP = 0, 1


def bind() -> Llama:
    """Bring up llama.cpp and its backends.

    Raises: LlamaMissingError if llama-cpp-python is absent or broken.
    """
    try:
        import llama_cpp
        from llama_cpp import llama_cpp as c
    except Exception as exc:  # a broken package raises whatever it likes
        raise LlamaMissingError(
            f"llama-cpp-python cannot be used: {type(exc).__name__}: {exc}",
            hint="pip install --force-reinstall --no-cache-dir llama-cpp-python",
        ) from exc
    return Llama(c, str(llama_cpp.__version__))


class Llama:
    """llama.cpp as `native.NativeLlama`. One per process."""

    def __init__(self, c: Any, version: str) -> None:
        self._c = c
        # ggml's symbols are found through libllama, which links to them
        self._ggml = _declare_registry(c._lib)  # noqa: SLF001 - the package offers no other way
        self._log_callback: Any = None
        self.version = version
        c.llama_backend_init()

    @property
    def supports_gpu_offload(self) -> bool:
        """Whether this build can use any GPU."""
        return bool(self._c.llama_supports_gpu_offload())

    @property
    def supports_rpc(self) -> bool:
        """Whether this build can use other machines."""
        return bool(self._c.llama_supports_rpc())

    def devices(self) -> tuple[Device, ...]:
        """What ggml's registry holds, with memory as of now."""
        return tuple(
            self._describe(handle)
            for handle in self._handles()
            if self._ggml.ggml_backend_dev_type(handle) != _DEVICE_TYPE_ACCEL
        )

    def add_rpc_server(self, endpoint: str) -> None:
        """Let the registry have a server's devices. Ends the process if it is not there.

        Raises: LlamaRefusedError if it has none, or this build knows no RPC.
        Source: add_rpc_devices in llama.cpp's common/arg.cpp.
        """
        rpc = self._ggml.ggml_backend_reg_by_name(b"RPC")
        if not rpc:
            raise LlamaRefusedError("llama-cpp-python was built without RPC")
        address = self._ggml.ggml_backend_reg_get_proc_address(rpc, b"ggml_backend_rpc_add_server")
        add_server = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_char_p)(address)
        devices = add_server(endpoint.encode())
        if not devices:
            raise LlamaRefusedError(f"the RPC server {endpoint} has no devices")
        self._ggml.ggml_backend_register(devices)

    def on_log(self, sink: Callable[[str], None]) -> None:
        """Send every piece of llama.cpp's log to `sink` from now on."""

        def forward(_level: int, text: bytes, _data: object) -> None:
            sink(text.decode("utf-8", errors="replace"))

        self._log_callback = self._c.llama_log_callback(forward)  # kept: C holds only a pointer
        self._c.llama_log_set(self._log_callback, None)

    def load(
        self, parameters: EngineParameters, on_progress: Callable[[float], bool], abort: AbortFlag
    ) -> LlamaModel:
        """Load a model and give it a context.

        Raises: LlamaRefusedError when llama.cpp returns no model or no context,
        DeviceNotFoundError for a device that is not in the registry.
        """
        handles = self._handles_of(parameters.devices)
        split = (ctypes.c_float * self._c.llama_max_devices())(*parameters.tensor_split)
        overrides = host_experts(self._ggml, parameters.n_host_experts)

        wanted = self._c.llama_model_default_params()
        wanted.devices = ctypes.addressof(handles)
        wanted.n_gpu_layers = parameters.n_gpu_layers
        wanted.split_mode = _SPLIT_MODE[parameters.split_mode]
        wanted.tensor_split = split if parameters.tensor_split else None
        wanted.tensor_buft_overrides = ctypes.addressof(overrides) if len(overrides) > 1 else None
        wanted.load_mode = _LOAD_MODE_MMAP if parameters.use_mmap else _LOAD_MODE_NONE
        progress = self._c.llama_progress_callback(lambda share, _data: on_progress(share))
        wanted.progress_callback = progress

        model = self._c.llama_model_load_from_file(os.fsencode(parameters.model_path), wanted)
        if not model:
            raise LlamaRefusedError("llama.cpp cannot load the model")
        context_params = _context_params(self._c, parameters, abort)
        observer = Observer(self._c) if parameters.observes_inputs else None
        if observer is not None:
            context_params.cb_eval = observer.callback
        context = self._c.llama_init_from_model(model, context_params)
        if not context:
            self._c.llama_model_free(model)
            raise LlamaRefusedError("llama.cpp cannot make a context for the model")
        return LlamaModel(self._c, model, context, observer)

    def load_vocabulary(self, path: str) -> LlamaVocabulary:
        """Load nothing but the vocabulary of a GGUF, which needs no tensors for that.

        Raises: LlamaRefusedError when llama.cpp does not take it.
        """
        wanted = self._c.llama_model_default_params()
        wanted.vocab_only = True
        model = self._c.llama_model_load_from_file(os.fsencode(path), wanted)
        if not model:
            raise LlamaRefusedError("llama.cpp cannot load the vocabulary")
        return LlamaVocabulary(self._c, model)

    def tensor_table(self, path: str) -> tuple[TableEntry, ...]:
        """The tensors of a GGUF as llama.cpp reads them. Raises: LlamaRefusedError."""
        return read_table(self._c._lib, path)  # noqa: SLF001 - as above

    def _handles(self) -> list[int]:
        count = self._ggml.ggml_backend_dev_count()
        return [self._ggml.ggml_backend_dev_get(index) for index in range(count)]

    def _handles_of(self, names: Sequence[str]) -> ctypes.Array[ctypes.c_void_p]:
        """Registry entries by name, closed by NULL. An empty list keeps llama.cpp off all GPUs."""
        by_name = {self._name(handle): handle for handle in self._handles()}
        unknown = [name for name in names if name not in by_name]
        if unknown:
            raise DeviceNotFoundError(
                f"no device is called {unknown[0]}", hint=f"there are: {', '.join(by_name)}"
            )
        return (ctypes.c_void_p * (len(names) + 1))(*[by_name[name] for name in names], None)

    def _name(self, handle: int) -> str:
        return str(self._ggml.ggml_backend_dev_name(handle).decode("utf-8", errors="replace"))

    def _describe(self, handle: int) -> Device:
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        self._ggml.ggml_backend_dev_memory(handle, ctypes.byref(free), ctypes.byref(total))
        registry = self._ggml.ggml_backend_dev_backend_reg(handle)
        kind = _KINDS.get(self._ggml.ggml_backend_reg_name(registry).decode(), DeviceKind.OTHER)
        description = self._ggml.ggml_backend_dev_description(handle).decode(errors="replace")
        if kind is DeviceKind.CPU:
            # ggml knows of no container, and calls all memory free (ggml/src/ggml-cpu/ggml-cpu.cpp)
            memory = usable_memory(Machine())
            total.value, free.value = memory.total_bytes, memory.available_bytes
        buffer_type = self._ggml.ggml_backend_dev_buffer_type(handle)
        max_size = self._ggml.ggml_backend_buft_get_max_size(buffer_type)
        buffer_bytes, max_alloc_bytes = allocation_limits(kind, max_size, description, os.environ)
        return Device(
            name=self._name(handle),
            kind=kind,
            description=description,
            total_bytes=total.value,
            free_bytes=free.value,
            is_unified=kind is DeviceKind.METAL
            or self._ggml.ggml_backend_dev_type(handle) == _DEVICE_TYPE_IGPU,
            buffer_bytes=buffer_bytes,
            max_alloc_bytes=max_alloc_bytes,
        )


def _context_params(c: Any, parameters: EngineParameters, abort: AbortFlag) -> Any:
    wanted = c.llama_context_default_params()
    wanted.n_ctx = parameters.n_ctx
    wanted.n_batch = parameters.n_batch
    wanted.n_ubatch = parameters.n_ubatch
    wanted.n_seq_max = parameters.n_seq_max
    wanted.n_outputs_max = parameters.n_outputs_max
    wanted.n_threads = parameters.n_threads
    wanted.n_threads_batch = parameters.n_threads_batch
    wanted.flash_attn_type = _FLASH_ATTN[parameters.flash_attn]
    wanted.type_k = cache_type(parameters.type_k).ggml_id
    wanted.type_v = cache_type(parameters.type_v).ggml_id
    wanted.swa_full = parameters.swa_full
    wanted.no_perf = True
    wanted.abort_callback = _strlen_as_abort_callback(c)
    wanted.abort_callback_data = abort.address
    return wanted


def _strlen_as_abort_callback(c: Any) -> Any:
    """Libc's strlen in the role of `bool abort(void * data)`.

    ggml asks at every graph node; a Python function there would take the interpreter lock
    thousands of times per token. The length of a string of 0 or 1 bytes is false or true.
    """
    return ctypes.cast(ctypes.CDLL(None).strlen, c.ggml_abort_callback)


def _declare_registry(library: Any) -> Any:
    """Give ggml's registry functions their types; llama_cpp does not bind them."""
    handle, size = ctypes.c_void_p, ctypes.c_size_t
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "ggml_backend_dev_count": (size, []),
        "ggml_backend_dev_get": (handle, [size]),
        "ggml_backend_dev_name": (ctypes.c_char_p, [handle]),
        "ggml_backend_dev_description": (ctypes.c_char_p, [handle]),
        "ggml_backend_dev_type": (ctypes.c_int, [handle]),
        "ggml_backend_dev_memory": (None, [handle, ctypes.c_void_p, ctypes.c_void_p]),
        "ggml_backend_dev_backend_reg": (handle, [handle]),
        "ggml_backend_dev_buffer_type": (handle, [handle]),
        "ggml_backend_buft_get_max_size": (size, [handle]),
        "ggml_backend_reg_name": (ctypes.c_char_p, [handle]),
        "ggml_backend_reg_by_name": (handle, [ctypes.c_char_p]),
        "ggml_backend_reg_get_proc_address": (handle, [handle, ctypes.c_char_p]),
        "ggml_backend_register": (None, [handle]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
