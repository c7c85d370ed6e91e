"""Owns the first moments of every child process: find the parent, harden, say READY.

A child must not outlive its parent, leave a core dump with a prompt in it, or be the reason the
parent is killed when memory runs out. What the system does not offer is skipped: a child on macOS
still leaves when its socket closes.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from localr1.worker.channel import Channel
from localr1.worker.protocol import PROTOCOL_VERSION

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_PR_SET_DUMPABLE = 4


def enter(arguments: list[str]) -> Channel:
    """Harden this process and open the channel named by the last two command line arguments.

    `arguments` is `sys.argv`: ..., descriptor of the socket, process id of the parent.
    """
    descriptor, parent_pid = int(arguments[-2]), int(arguments[-1])
    _harden()
    if os.getppid() != parent_pid:
        # it died before the death signal was armed
        sys.exit(1)
    return Channel(socket.socket(fileno=descriptor))


def say_ready(channel: Channel, facts: Mapping[str, Any]) -> None:
    """Tell the parent that this child can work, and what it found."""
    channel.send({"type": "ready", "protocol": PROTOCOL_VERSION, "facts": dict(facts)})


def _harden() -> None:
    # Ctrl-C in the terminal is for the parent; the session is our own, but kill(2) may still come
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):
        # before the process turns undumpable: that gives its /proc files to root
        Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")
    if sys.platform == "linux":
        prctl = ctypes.CDLL(None, use_errno=True).prctl
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
