"""Owns why a child process died: exit status and last log lines in, one sentence and a cause out.

Pure. The log is whatever native code wrote to stderr, so every line is foreign text.
"""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass

from localr1.terminal_text import safe_line

_MAX_LINE = 300
# most telling first; ggml prints the assertion, then where the backtrace would be
_TELLING = (
    re.compile(r"RPC server version mismatch"),
    re.compile(r"RPC server crashed|RPC handshake failed|Failed to connect to"),
    re.compile(r"GGML_ASSERT|ggml_abort|CUDA error|ggml_metal.*error|DEVICE_LOST|ROCm error"),
    re.compile(r"^gguf_init\w*: |error loading model: (?!llama_model_loader: failed to load)"),
    re.compile(r"what\(\):|terminate called|std::\w+"),
    re.compile(r"out of memory|failed to allocate|unable to allocate|bad_alloc", re.IGNORECASE),
    re.compile(r"No module named|^\w*(Error|Exception): |\berror\b", re.IGNORECASE),
)
_DEVICE = re.compile(
    r"CUDA error|cudaMalloc failed|ggml_metal.*error|kIOGPU|DEVICE_LOST|ErrorDeviceLost"
    r"|ROCm error|Xid|allocate (CUDA|ROCm|MTL|Metal|Vulkan|SYCL)\w* buffer"
)
_SERVER = {
    "RPC server version mismatch": "both machines need the same version of llama.cpp",
    "Remote RPC server crashed": "the other machine may have run out of memory: see its log",
}
_FUNCTION = re.compile(r"^(\w*_\w+: )+(error loading model: )?")  # ggml's logs name the function
_BUILD_FOLDER = re.compile(r"^/\S*/(?=\S+:\d+: )")  # of the machine that compiled it
_KILLED = "the system may have run out of memory: choose a smaller model or context"


@dataclass(frozen=True, slots=True)
class Death:
    """What is known about the end of a child."""

    message: str
    hint: str
    is_device_failure: bool
    """True when the log blames a GPU or its driver: the same work may succeed on the CPU."""


def explain_death(name: str, returncode: int | None, log: str) -> Death:
    """One sentence on how the child called `name` ended.

    `returncode` is that of subprocess: negative for a signal, None when it had to be given up.
    """
    line = telling_line(log)
    message = f"{name} {_how(returncode)}" + (f": {line}" if line else "")
    hints = [hint for words, hint in _SERVER.items() if words in log]
    hint = _KILLED if returncode == -signal.SIGKILL else "".join(hints[:1])
    return Death(message, hint, is_device_failure=is_device_failure(log))


def is_device_failure(log: str) -> bool:
    """Whether a log blames a GPU or its driver, so that the CPU may do better."""
    return bool(_DEVICE.search(log))


def telling_line(log: str) -> str:
    """The line of a log that says most about a failure, made safe to show; may be empty."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    for pattern in _TELLING:
        for line in reversed(lines):
            if pattern.search(line):
                return safe_line(_BUILD_FOLDER.sub("", _FUNCTION.sub("", line)))[:_MAX_LINE]
    return ""


def _how(returncode: int | None) -> str:
    if returncode is None:
        return "stopped answering"
    if returncode >= 0:
        return f"exited with code {returncode}"
    try:
        return f"was ended by {signal.Signals(-returncode).name}"
    except ValueError:
        return f"was ended by signal {-returncode}"
