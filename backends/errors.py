"""Owns the errors of `backends`: what is wrong with a device, or with llama.cpp on it.

BackendError
├── DeviceNotFoundError         3  the device asked for is not there
├── UnsupportedParametersError  2  a combination llama.cpp cannot run
├── RpcServerError              5  a server that shall lend its devices is not there
├── LlamaMissingError           7  llama-cpp-python is absent, or built without what is asked for
└── LlamaRefusedError           7  a call into llama.cpp failed (load, context, decode)
"""

from __future__ import annotations

from typing import ClassVar


class BackendError(Exception):
    """Any failure of a device or of llama.cpp that we can explain."""

    code: ClassVar[str] = "backend"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class DeviceNotFoundError(BackendError):
    """The device asked for is not among those found."""

    code = "device_not_found"
    exit_code = 3


class UnsupportedParametersError(BackendError):
    """The load parameters contradict each other or name something that does not exist."""

    code = "unsupported_parameters"
    exit_code = 2


class RpcServerError(BackendError):
    """A server that shall lend its devices cannot be reached, or is none."""

    code = "rpc_server"
    exit_code = 5


class LlamaMissingError(BackendError):
    """llama-cpp-python is not installed, does not load, or was built without what is asked for."""

    code = "llama_missing"
    exit_code = 7


class LlamaRefusedError(BackendError):
    """A call into llama.cpp failed without killing the process."""

    code = "llama_refused"
    exit_code = 7
