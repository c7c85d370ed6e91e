"""An engine's child that knows RPC servers, but no models; `localhost` is what it dies of."""

from __future__ import annotations

import os
import signal
import sys

from backends.device import Device, DeviceKind
from localr1.worker.childside import enter, say_ready
from localr1.worker.frames import EngineInfo
from localr1.worker.protocol import from_json, to_json


def main() -> None:
    channel = enter(sys.argv)
    say_ready(channel, {})
    while (message := channel.receive()) is not None and message["type"] == "connect":
        info = _connected(from_json(tuple[str, ...], message["body"]))
        request = message["request"]
        channel.send({"type": "connected", "request": request, "body": to_json(info)})


def _connected(endpoints: tuple[str, ...]) -> EngineInfo:
    if any(endpoint.startswith("localhost") for endpoint in endpoints):
        os.write(2, b"RPC server version mismatch: 6.1.0\n")
        os.kill(os.getpid(), signal.SIGABRT)
    return EngineInfo(
        pid=os.getpid(),
        llama_cpp_python="0",
        supports_gpu_offload=True,
        supports_rpc=True,
        devices=tuple(Device("RPC", DeviceKind.RPC, endpoint, 1, 1) for endpoint in endpoints),
    )


if __name__ == "__main__":
    main()
