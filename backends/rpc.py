"""Owns llama.cpp's RPC servers as far as they can be known without llama.cpp: address and greeting.

llama.cpp connects without any deadline, and ends the process if the other side is not there or
speaks another protocol. So a server is greeted in Python first, and whatever is wrong with it is
said in words. Source: ggml/src/ggml-rpc/ggml-rpc.cpp and transport.cpp of llama-cpp-python 0.3.36:
IPv4 only, neither password nor encryption, and one client at a time.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
import struct
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from backends.device import Device, DeviceKind
from backends.errors import RpcServerError, UnsupportedParametersError

_ADDRESS = re.compile(r"(?P<host>[\w-]{1,63}(\.[\w-]{1,63})*):(?P<port>\d{1,5})", re.ASCII)
_MAX_SHOWN = 60
_GREETING_S = 5.0
_HELLO = 14  # RPC_CMD_HELLO, the same in every version
_CAPS_BYTES = 24  # RPC_CONN_CAPS_SIZE
_SIZE = struct.Struct("<Q")
_REPLY_BYTES = 4 + _CAPS_BYTES  # three numbers of a version and a byte of padding before the rest


@dataclass(frozen=True, slots=True)
class RpcServer:
    """Where a server listens."""

    host: str
    """A name or an IPv4 address."""
    port: int

    @property
    def endpoint(self) -> str:
        """As llama.cpp takes it, and prints it."""
        return f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether nothing leaves this machine on the way there."""
        with contextlib.suppress(ValueError):
            return ipaddress.IPv4Address(self.host).is_loopback
        return self.host == "localhost"


def parse_server(text: str) -> RpcServer:
    """`gpu-box:50052` as a server. Raises: UnsupportedParametersError."""
    address = _ADDRESS.fullmatch(text.strip())
    if address is None or not 0 < int(address["port"]) < 2**16:
        raise UnsupportedParametersError(
            f"{text[:_MAX_SHOWN]} is no address of an RPC server",
            hint="HOST:PORT, where HOST is a name or an IPv4 address: 192.168.1.20:50052",
        )
    return RpcServer(address["host"].lower(), int(address["port"]))


def greet(server: RpcServer, *, timeout_s: float = _GREETING_S) -> None:
    """Make sure that a server is there and answers; it is free again afterwards.

    Raises: RpcServerError. Which version it speaks is left to llama.cpp, which knows its own.
    """
    where = f"the RPC server {server.endpoint}"
    try:
        with socket.create_connection(_address(server), timeout_s) as connection:
            reply = _reply_to_hello(connection, time.monotonic() + timeout_s)
    except socket.gaierror as exc:
        raise RpcServerError(
            f"{where} is not found: {exc.strerror}", hint="look at the name, or use its address"
        ) from exc
    except ConnectionRefusedError as exc:
        raise RpcServerError(
            f"{where} refuses: nothing listens there",
            hint=f"start llama.cpp's rpc-server on that machine with --port {server.port}",
        ) from exc
    except _SilentError as exc:
        raise RpcServerError(
            f"{where} does not answer",
            hint="it serves one program at a time: end the other one, or start it anew",
        ) from exc
    except OSError as exc:
        raise RpcServerError(
            f"{where} cannot be reached: {exc.strerror or exc}",
            hint="is the machine on, and does its firewall let this port through?",
        ) from exc
    if reply is None:
        raise RpcServerError(
            f"{where} does not answer as one", hint="both sides need the same version of llama.cpp"
        )


def what_leaves(servers: Sequence[RpcServer]) -> str:
    """What using these servers means for privacy, in one sentence."""
    hosts = " and ".join(server.endpoint for server in servers)
    return (
        f"weights and everything that is computed from your words go to {hosts}, unencrypted; "
        "such a server asks nobody for a password: keep it inside a network that you trust"
    )


def buffer_names(devices: Sequence[Device]) -> dict[str, str]:
    """From the names of remote buffers in llama.cpp's log to those of their devices.

    A device is counted over all servers, the buffers on it by their own server only.
    """
    seen: Counter[str] = Counter()
    names = {}
    for device in devices:
        if device.kind is DeviceKind.RPC:
            endpoint = device.description
            names[f"RPC{seen[endpoint]}[{endpoint}]"] = device.name
            seen[endpoint] += 1
    return names


class _SilentError(Exception):
    """Connected, and then nothing: not an error of the connection, which OSError would be."""


def _address(server: RpcServer) -> tuple[str, int]:
    """The address that llama.cpp would take: the first one of IPv4."""
    found = socket.getaddrinfo(server.host, server.port, socket.AF_INET, socket.SOCK_STREAM)
    host, port = found[0][4][:2]
    return str(host), int(port)


def _reply_to_hello(connection: socket.socket, deadline_s: float) -> bytes | None:
    """The version and capabilities of a server; None from what is no such server."""
    connection.sendall(bytes([_HELLO]) + _SIZE.pack(_CAPS_BYTES) + bytes(_CAPS_BYTES))
    reply = b""
    while len(reply) < _SIZE.size + _REPLY_BYTES:
        connection.settimeout(max(deadline_s - time.monotonic(), 0.001))
        try:
            piece = connection.recv(_SIZE.size + _REPLY_BYTES - len(reply))
        except TimeoutError as exc:
            raise _SilentError from exc
        except ConnectionResetError:
            return None
        if not piece:
            return None
        reply += piece
        if not reply.startswith(_SIZE.pack(_REPLY_BYTES)[: len(reply)]):
            return None
    return reply
