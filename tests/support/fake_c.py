"""llama_cpp's C functions as Python ones: a registry of any devices, and loads that give NULL."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from backends.tensor_overrides import Override

_LOG = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
_PROGRESS = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_float, ctypes.c_void_p)
_ADD_SERVER = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_char_p)
_ABORT = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p)

CPU_BUFFER_TYPE = 77
"""The handle of the processor's buffer type."""


@dataclass(frozen=True, slots=True)
class FakeEntry:
    """One device as ggml's registry describes it."""

    name: str
    registry: str
    type: int
    total: int
    free: int
    description: str = "a device"
    max_size: int = 2**64 - 1
    """Bytes in one buffer; SIZE_MAX is no limit."""


class _Registry:
    """The ggml_backend_* functions; handles are indices plus one."""

    def __init__(self, entries: list[FakeEntry], servers: dict[bytes, list[FakeEntry]]) -> None:
        def entry(handle: int) -> FakeEntry:
            return entries[handle - 1]

        def memory(handle: int, free: Any, total: Any) -> None:
            free._obj.value, total._obj.value = entry(handle).free, entry(handle).total

        def cpu_buffer_type() -> int:
            return CPU_BUFFER_TYPE

        def add_server(endpoint: bytes) -> int | None:
            return list(servers).index(endpoint) + 1 if endpoint in servers else None

        def register(handle: ctypes.c_void_p) -> None:
            entries.extend(list(servers.values())[int(handle) - 1])

        self._add_server = _ADD_SERVER(add_server)  # kept: its address is handed out
        add_server_address = ctypes.cast(self._add_server, ctypes.c_void_p).value
        self.ggml_backend_reg_by_name = lambda name: 1 if servers and name == b"RPC" else None
        self.ggml_backend_reg_get_proc_address = lambda _registry, _name: add_server_address
        self.ggml_backend_register = register
        self.ggml_backend_cpu_buffer_type = cpu_buffer_type
        self.ggml_backend_dev_buffer_type = lambda handle: handle
        self.ggml_backend_buft_get_max_size = lambda handle: entry(handle).max_size
        self.ggml_backend_dev_count = lambda: len(entries)
        self.ggml_backend_dev_get = lambda index: index + 1
        self.ggml_backend_dev_name = lambda handle: entry(handle).name.encode()
        self.ggml_backend_dev_description = lambda handle: entry(handle).description.encode()
        self.ggml_backend_dev_type = lambda handle: entry(handle).type
        self.ggml_backend_dev_memory = memory
        self.ggml_backend_dev_backend_reg = lambda handle: handle
        self.ggml_backend_reg_name = lambda handle: entry(handle).registry.encode()


@dataclass
class FakeC:
    """What `backends.llama` uses of the module `llama_cpp.llama_cpp`. Every load gives NULL."""

    entries: list[FakeEntry]
    servers: dict[bytes, list[FakeEntry]] = field(default_factory=dict)
    """What RPC servers add, by endpoint; without any, this build knows no RPC."""
    gives_model: bool = False
    loaded_with: SimpleNamespace = field(default_factory=SimpleNamespace)
    overrides: list[tuple[bytes, int]] = field(default_factory=list)
    """Pattern and buffer type; read while the caller still keeps them."""
    context_with: SimpleNamespace = field(default_factory=SimpleNamespace)
    n_freed: int = 0
    llama_log_callback: Any = _LOG
    llama_progress_callback: Any = _PROGRESS
    ggml_abort_callback: Any = _ABORT

    def __post_init__(self) -> None:
        self._lib = _Registry(self.entries, self.servers)

    def llama_backend_init(self) -> None:
        pass

    def llama_log_set(self, callback: Any, _data: None) -> None:
        callback(2, "a line \xff\n".encode("latin-1"), None)

    def llama_supports_gpu_offload(self) -> bool:
        return len(self.entries) > 1

    def llama_supports_rpc(self) -> bool:
        return bool(self.servers)

    def llama_max_devices(self) -> int:
        return 16

    def llama_model_default_params(self) -> SimpleNamespace:
        return SimpleNamespace()

    def llama_context_default_params(self) -> SimpleNamespace:
        return SimpleNamespace()

    def llama_model_load_from_file(self, path: bytes, wanted: SimpleNamespace) -> object | None:
        names = ctypes.cast(wanted.devices, ctypes.POINTER(ctypes.c_void_p))
        handles: list[int] = []
        while (handle := names[len(handles)]) is not None:
            handles.append(handle)
        self.overrides = _overrides(wanted.tensor_buft_overrides)
        self.loaded_with = SimpleNamespace(
            path=path, handles=handles, goes_on=wanted.progress_callback(0.5, None), **vars(wanted)
        )
        return object() if self.gives_model else None

    def llama_init_from_model(self, _model: object, wanted: SimpleNamespace) -> None:
        self.context_with = wanted

    def llama_model_free(self, _model: object) -> None:
        self.n_freed += 1


def _overrides(address: int | None) -> list[tuple[bytes, int]]:
    found: list[tuple[bytes, int]] = []
    entries = ctypes.cast(address, ctypes.POINTER(Override)) if address else None
    while entries is not None and entries[len(found)].pattern is not None:
        entry = entries[len(found)]
        found.append((entry.pattern, entry.buffer_type))
    return found
