"""Servers of llama.cpp's RPC protocol, as far as the greeting goes."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from backends.rpc import RpcServer

HELLO = b"\x0e" + struct.pack("<Q", 24) + bytes(24)
VERSION_7 = struct.pack("<Q", 28) + bytes([7, 0, 0, 0]) + bytes(24)
"""What a server of version 7.0.0 answers."""


def receive_hello(client: socket.socket) -> bytes:
    """What a client says first."""
    return client.recv(len(HELLO), socket.MSG_WAITALL)


def answer_hello(client: socket.socket) -> None:
    """As a server does."""
    receive_hello(client)
    client.sendall(VERSION_7)


@contextmanager
def rpc_server(answer: Callable[[socket.socket], None] = answer_hello) -> Iterator[RpcServer]:
    """Takes one client and answers it."""

    def serve() -> None:
        client, _ = listener.accept()
        with client:
            answer(client)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield RpcServer("127.0.0.1", listener.getsockname()[1])
        thread.join()


def deserted_server() -> RpcServer:
    """Where a server has been."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return RpcServer("127.0.0.1", listener.getsockname()[1])
