from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

from backends.device import DeviceKind
from backends.probe import Hardware
from localr1.cli import devices
from localr1.cli.main import run
from localr1.errors import EngineStartError
from localr1.worker.frames import EngineInfo
from localr1.worker.host import Engine
from tests.support.fake_llama import CPU, CUDA1
from tests.support.fake_machine import FakeMachine

_CARD = Hardware(DeviceKind.CUDA, "NVIDIA GeForce RTX 4090", has_driver=True)


def _info(*found: object) -> EngineInfo:
    return EngineInfo(
        pid=1,
        llama_cpp_python="0.3.36",
        supports_gpu_offload=CUDA1 in found,
        supports_rpc=False,
        devices=tuple(device for device in (CUDA1, CPU) if device in found),
    )


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with one NVIDIA card."""
    monkeypatch.setattr(devices, "find_hardware", lambda _machine: (_CARD,))


def test_processor_of_this_machine_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["devices", "--json"]) == 0

    document = json.loads(capsys.readouterr().out)
    (cpu,) = [device for device in document["devices"] if device["kind"] == "cpu"]
    assert 0 < cpu["free_bytes"] <= cpu["total_bytes"]
    assert document["llama_cpp_python"]


@pytest.mark.usefixtures("card")
def test_idle_card_is_named_with_the_command_that_helps(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(devices, "_ask_engine", lambda _servers: _info(CPU))

    assert run(["devices"]) == 0

    out = capsys.readouterr().out
    assert "RTX 4090 is here but unused" in out
    assert "-DGGML_CUDA=on" in out


@pytest.mark.usefixtures("card")
def test_card_in_use_is_listed_without_advice(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(devices, "_ask_engine", lambda _servers: _info(CUDA1, CPU))

    assert run(["devices"]) == 0

    out = capsys.readouterr().out
    assert "CUDA1   cuda  24.0 GiB  23.0 GiB  a big card" in out
    assert "unused" not in out


@pytest.fixture
def broken_llama_cpp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A llama_cpp whose shared library does not load."""
    package = tmp_path / "llama_cpp"
    package.mkdir()
    (package / "__init__.py").write_text("raise OSError('libcudart.so.12: cannot open')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


@pytest.mark.usefixtures("broken_llama_cpp")
def test_broken_package_is_explained_not_died_of() -> None:
    with pytest.raises(EngineStartError) as caught:
        Engine.start()

    assert "libcudart.so.12" in caught.value.message
    assert "pip install" in caught.value.hint


@pytest.mark.usefixtures("broken_llama_cpp", "card")
def test_hardware_is_shown_even_with_a_broken_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["devices"]) == 7

    captured = capsys.readouterr()
    assert "RTX 4090" in captured.out
    assert "libcudart.so.12" in captured.err


def test_build_without_rpc_is_told_how_to_get_one(capsys: pytest.CaptureFixture[str]) -> None:
    with closing(Engine.start()) as engine:
        if engine.info.supports_rpc:
            pytest.skip("this llama-cpp-python was built with RPC")

    assert run(["devices", "--rpc", "127.0.0.1:1"]) == 7

    (line,) = capsys.readouterr().err.splitlines()
    assert "built without RPC" in line
    assert "-DGGML_RPC=on" in line


@pytest.mark.parametrize("verb", [["devices"], ["plan", "demo"], ["ask", "demo", "hi"]], ids=str)
def test_other_machines_are_not_used_offline(
    verb: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*verb, "--offline", "--rpc", "192.168.1.20:50052"]) == 5

    (line,) = capsys.readouterr().err.splitlines()
    assert "192.168.1.20:50052 is another machine" in line


def test_what_using_a_server_gives_away_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOCALR1_RPC", "127.0.0.1:50052 gpu-box:50052")
    monkeypatch.setattr(devices, "_ask_engine", lambda _servers: _info(CPU))

    assert run(["devices"]) == 0

    out = capsys.readouterr().out
    assert "go to 127.0.0.1:50052 and gpu-box:50052, unencrypted" in out


def test_what_a_container_allows_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    inside = {
        "/proc/self/cgroup": "0::/\n",
        "/sys/fs/cgroup/memory.max": f"{4 * 1024**3}\n",
        "/sys/fs/cgroup/memory.current": "0\n",
        "/sys/fs/cgroup/cpu.max": "150000 100000\n",
    }
    monkeypatch.setattr(devices, "Machine", lambda: FakeMachine(files=inside))
    monkeypatch.setattr(devices, "_ask_engine", lambda _servers: _info(CPU))

    run(["devices"])
    text = capsys.readouterr().out
    run(["devices", "--json"])
    document = json.loads(capsys.readouterr().out)

    assert "container limit: 4.0 GiB of memory and 1.5 processors" in text
    assert document["container"] == {"memory_bytes": 4 * 1024**3, "processors": 1.5}
