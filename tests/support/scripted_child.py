"""A child process that does what it is told: speak, crash, hang, make noise, vanish."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from localr1.worker.channel import Channel
from localr1.worker.childside import enter, say_ready

_PR_GET_DUMPABLE = 3  # linux/prctl.h


def main() -> None:
    channel = enter(sys.argv)
    say_ready(channel, _facts())
    while True:
        try:
            message = channel.receive()
        except EOFError:
            return
        assert message is not None
        if message["type"] == "close":
            return
        _obey(channel, message)


def _facts() -> dict[str, Any]:
    # an undumpable process is the only one that may look into itself
    facts: dict[str, Any] = {"environment": dict(os.environ)}
    if sys.platform == "linux":
        facts["is_dumpable"] = ctypes.CDLL(None).prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0) != 0
        facts["descriptors"] = [
            str(entry.readlink()) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()
        ]
    return facts


def _obey(channel: Channel, message: dict[str, Any]) -> None:
    match message["type"]:
        case "echo":
            channel.send(message)
        case "sums":
            channel.send(message | {"data": message["body"]})
        case "noise":
            os.write(2, b"noise " * (message["n_bytes"] // 6))
            channel.send({"type": "done"})
        case "die":
            os.write(2, message.get("last_words", "").encode())
            os.kill(os.getpid(), message["signal"])
        case "exit":
            os._exit(message["code"])
        case "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        case "garbage":
            channel.send_frames(bytes.fromhex(message["hex"]))
        case "deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            channel.send({"type": "done"})
            while True:
                time.sleep(60)


if __name__ == "__main__":
    main()
