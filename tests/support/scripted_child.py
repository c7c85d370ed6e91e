"""A child process that does what it is told: speak, crash, hang, make noise, vanish."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any

from localr1.worker.channel import Channel
from localr1.worker.childside import enter, say_ready


def main() -> None:
    channel = enter(sys.argv)
    say_ready(channel, {"argv": sys.argv[1:], "environment": dict(os.environ)})
    while True:
        try:
            message = channel.receive()
        except EOFError:
            return
        assert message is not None
        if message["type"] == "close":
            return
        _obey(channel, message)


def _obey(channel: Channel, message: dict[str, Any]) -> None:
    match message["type"]:
        case "echo":
            channel.send(message)
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
