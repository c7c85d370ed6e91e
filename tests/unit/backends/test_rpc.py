from __future__ import annotations

import socket
import struct
from dataclasses import replace

import pytest

from backends.errors import RpcServerError, UnsupportedParametersError
from backends.rpc import RpcServer, buffer_names, greet, parse_server
from tests.support.fake_llama import CPU, CUDA0, RPC0, RPC1
from tests.support.rpc_servers import (
    HELLO,
    VERSION_7,
    deserted_server,
    receive_hello,
    rpc_server,
)


@pytest.mark.parametrize(
    ("text", "endpoint", "is_loopback"),
    [
        ("192.168.1.20:50052", "192.168.1.20:50052", False),
        ("GPU-Box:1", "gpu-box:1", False),
        ("localhost:65535", "localhost:65535", True),
        ("127.0.0.2:50052", "127.0.0.2:50052", True),
        ("localhost.evil.org:50052", "localhost.evil.org:50052", False),
    ],
)
def test_address_is_read(text: str, endpoint: str, is_loopback: bool) -> None:
    server = parse_server(text)

    assert server.endpoint == endpoint
    assert server.is_loopback is is_loopback


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "host",
        "host:",
        ":1",
        "host:0",
        "host:65536",
        "[::1]:1",
        "a..b:1",
        "hö:1",
        "h:" + "9" * 5000,
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UnsupportedParametersError, match="no address"):
        parse_server(text)


def test_server_that_answers_in_pieces_is_there() -> None:
    heard: list[bytes] = []

    def answer(client: socket.socket) -> None:
        heard.append(receive_hello(client))
        for byte in VERSION_7:
            client.sendall(bytes([byte]))

    with rpc_server(answer) as server:
        greet(server)

    assert heard == [HELLO]


def test_port_without_a_server_is_refused() -> None:
    server = deserted_server()

    with pytest.raises(RpcServerError, match="nothing listens there") as caught:
        greet(server)

    assert caught.value.exit_code == 5
    assert str(server.port) in caught.value.hint


def test_server_that_is_busy_with_another_client_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = RpcServer("127.0.0.1", listener.getsockname()[1])

        with pytest.raises(RpcServerError, match="does not answer") as caught:
            greet(server, timeout_s=0.05)

    assert "one program at a time" in caught.value.hint


@pytest.mark.parametrize(
    "reply",
    [b"", b"HTTP/1.0 400 Bad Request\r\n", VERSION_7[:-1], struct.pack("<Q", 2**63)],
    ids=["older version", "web server", "cut off", "absurd size"],
)
def test_what_is_no_such_server_is_told_apart(reply: bytes) -> None:
    def answer(client: socket.socket) -> None:
        receive_hello(client)
        client.sendall(reply)

    with (
        rpc_server(answer) as server,
        pytest.raises(RpcServerError, match="does not answer as one") as caught,
    ):
        greet(server)

    assert "same version" in caught.value.hint


def test_host_without_an_address_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)

    with pytest.raises(RpcServerError, match="not found: Name or service not known"):
        greet(RpcServer("gpu-box", 50052))


def test_buffers_of_each_server_are_counted_from_zero() -> None:
    other = "10.0.0.7:50052"
    third = replace(RPC0, name="RPC2", description=other)

    names = buffer_names((CPU, RPC0, CUDA0, RPC1, third))

    assert names == {
        "RPC0[gpu-box:50052]": "RPC0",
        "RPC1[gpu-box:50052]": "RPC1",
        "RPC0[10.0.0.7:50052]": "RPC2",
    }
