"""An engine that is to use RPC servers, over a child from a script."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from backends.device import DeviceKind
from backends.errors import LlamaMissingError, RpcServerError
from localr1.errors import EngineDiedError
from localr1.worker.frames import EngineInfo
from localr1.worker.host import Engine
from localr1.worker.process import ChildProcess
from tests.support.rpc_servers import deserted_server, rpc_server

_INFO = EngineInfo(
    pid=1, llama_cpp_python="0", supports_gpu_offload=True, supports_rpc=True, devices=()
)


@pytest.fixture
def child(tmp_path: Path) -> Iterator[ChildProcess]:
    with closing(
        ChildProcess.start("tests.support.rpc_child", name="engine", log_dir=tmp_path)
    ) as child:
        yield child


def test_devices_of_every_server_are_there(child: ChildProcess) -> None:
    engine = Engine(child, _INFO)

    with rpc_server() as first, rpc_server() as second:
        engine.connect([first, second])

    assert [(device.kind, device.description) for device in engine.info.devices] == [
        (DeviceKind.RPC, first.endpoint),
        (DeviceKind.RPC, second.endpoint),
    ]


def test_build_without_rpc_asks_no_server(child: ChildProcess) -> None:
    engine = Engine(child, replace(_INFO, supports_rpc=False))

    with pytest.raises(LlamaMissingError, match="built without RPC") as caught:
        engine.connect([deserted_server()])

    assert caught.value.hint.startswith('CMAKE_ARGS="-DGGML_RPC=on"')
    assert sys.executable in caught.value.hint


def test_server_that_is_not_there_leaves_the_engine_alive(child: ChildProcess) -> None:
    engine = Engine(child, _INFO)

    with pytest.raises(RpcServerError, match="nothing listens there"):
        engine.connect([deserted_server()])

    assert engine.is_alive


def test_server_that_llama_cpp_dies_of_is_a_typed_error(child: ChildProcess) -> None:
    engine = Engine(child, _INFO)

    with (
        rpc_server() as server,
        pytest.raises(EngineDiedError, match=r"RPC server version mismatch: 6\.1\.0") as caught,
    ):
        engine.connect([replace(server, host="localhost")])  # what the child dies of

    assert "the same version of llama.cpp" in caught.value.hint
