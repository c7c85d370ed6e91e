from __future__ import annotations

import os
import queue
import signal
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from localr1.errors import EngineDiedError, EngineStartError
from localr1.worker.process import ChildProcess
from localr1.worker.vitals import is_stopped

_MODULE = "tests.support.scripted_child"
_REPLY_S = 20.0
_ROOT = Path(__file__).resolve().parents[2]


def _start() -> ChildProcess:
    return ChildProcess.start(_MODULE, name="child")


@pytest.fixture
def child() -> Iterator[ChildProcess]:
    with closing(_start()) as child:
        yield child


def _death_after(child: ChildProcess, message: dict[str, Any]) -> EngineDiedError:
    child.send(message)
    with pytest.raises(EngineDiedError) as caught:
        child.receive(_REPLY_S)
    return caught.value


def test_child_answers(child: ChildProcess) -> None:
    child.send({"type": "echo", "text": "é\udcff"})

    assert child.receive(_REPLY_S) == {"type": "echo", "text": "é\udcff"}


def test_message_larger_than_the_socket_crosses(child: ChildProcess) -> None:
    text = "x" * 4_000_000

    child.send({"type": "echo", "text": text})

    assert child.receive(_REPLY_S) == {"type": "echo", "text": text}


def test_silence_gives_nothing(child: ChildProcess) -> None:
    assert child.receive(0) is None
    assert child.is_alive


@pytest.mark.parametrize(
    "number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGTERM, signal.SIGBUS]
)
def test_signal_that_ends_the_child_is_named(child: ChildProcess, number: signal.Signals) -> None:
    error = _death_after(child, {"type": "die", "signal": int(number)})

    assert number.name in error.message
    assert not child.is_alive


def test_exit_code_is_named(child: ChildProcess) -> None:
    assert "code 3" in _death_after(child, {"type": "exit", "code": 3}).message


def test_last_words_are_told_and_the_log_kept(child: ChildProcess) -> None:
    words = "x.c:1: GGML_ASSERT(n > 0) failed\n"

    error = _death_after(child, {"type": "die", "signal": 6, "last_words": words})
    child.close()

    assert "GGML_ASSERT(n > 0) failed" in error.message
    assert words in child.log_path.read_text()
    child.log_path.unlink()


def test_every_call_after_the_death_tells_it_again(child: ChildProcess) -> None:
    error = _death_after(child, {"type": "exit", "code": 3})

    with pytest.raises(EngineDiedError, match="code 3"):
        child.send({"type": "echo"})
    with pytest.raises(EngineDiedError) as again:
        child.receive(0)
    assert again.value is error


@pytest.mark.parametrize("nonsense", ["ffffffff", "00000002" + b"[]".hex(), "00000001ff"])
def test_nonsense_ends_the_child(child: ChildProcess, nonsense: str) -> None:
    error = _death_after(child, {"type": "garbage", "hex": nonsense})

    assert "nonsense" in error.message
    assert not psutil.pid_exists(child.pid)


def test_noise_on_stderr_does_not_block(child: ChildProcess) -> None:
    child.send({"type": "noise", "n_bytes": 1024**2})

    assert child.receive(_REPLY_S) == {"type": "done"}
    assert child.log_path.stat().st_size > 1_000_000


def test_stopped_child_is_given_up(child: ChildProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("localr1.worker.vitals.LOOK_S", 0.02)
    monkeypatch.setattr("localr1.worker.process.LOOK_S", 0.02)
    child.send({"type": "stop"})

    with pytest.raises(EngineDiedError, match="stopped answering"):
        child.receive_while_alive(0.2)

    assert not psutil.pid_exists(child.pid)


def test_deaf_child_is_killed_on_close() -> None:
    child = _start()
    child.send({"type": "deaf"})
    child.receive(_REPLY_S)

    child.close(grace_s=0.05)

    assert not psutil.pid_exists(child.pid)


def test_stopped_child_is_ended_on_close_without_waiting_for_it(child: ChildProcess) -> None:
    os.kill(child.pid, signal.SIGSTOP)
    while not is_stopped(child.pid):
        os.sched_yield()

    child.close(grace_s=_REPLY_S)

    # a child that is waited for in vain is killed
    assert child.returncode == -signal.SIGTERM


def test_end_of_the_child_is_told_without_being_asked_for() -> None:
    told: queue.SimpleQueue[EngineDiedError] = queue.SimpleQueue()
    with closing(_start()) as child:
        child.when_ended(told.put)

        os.kill(child.pid, signal.SIGKILL)

        assert "SIGKILL" in told.get(timeout=_REPLY_S).message


def test_child_that_has_ended_is_told_at_once(child: ChildProcess) -> None:
    died = _death_after(child, {"type": "exit", "code": 3})
    told: list[EngineDiedError] = []

    child.when_ended(told.append)

    assert told == [died]


def test_close_is_no_news() -> None:
    told: list[EngineDiedError] = []
    child = _start()
    child.when_ended(told.append)

    child.close()

    assert child.returncode == 0
    assert told == []


def test_close_twice_is_harmless(child: ChildProcess) -> None:
    child.close()
    child.close()

    with pytest.raises(EngineDiedError, match="closed"):
        child.send({"type": "echo"})


def test_module_that_is_not_there_never_starts() -> None:
    with pytest.raises(EngineStartError, match="No module named"):
        ChildProcess.start("localr1.worker.no_such_module", name="child")


def test_child_that_says_nothing_never_starts() -> None:
    with pytest.raises(EngineStartError, match="not ready"):
        ChildProcess.start("tests.support.silent_child", name="child", timeout_s=0.5)


def test_log_directory_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(EngineStartError, match="log"):
        ChildProcess.start(_MODULE, name="child", log_dir=tmp_path / "missing")


def test_child_inherits_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "s3cret")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")

    with closing(_start()) as child:
        environment = child.facts["environment"]

    assert "HF_TOKEN" not in environment
    assert environment["CUDA_VISIBLE_DEVICES"] == "0"
    assert environment["GGML_NO_BACKTRACE"] == "1"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_child_is_hardened(child: ChildProcess) -> None:
    proc = Path(f"/proc/{child.pid}")
    limits = (proc / "limits").read_text().splitlines()
    core = next(line for line in limits if line.startswith("Max core file size"))

    assert core.split()[4:6] == ["0", "0"]
    assert int((proc / "oom_score_adj").read_text()) == 500
    assert os.getsid(child.pid) == child.pid
    assert child.facts["is_dumpable"] is False


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_child_holds_no_descriptors_but_its_own(child: ChildProcess) -> None:
    held = [Path(name) for name in child.facts["descriptors"]]
    others = {str(path) for path in held if not str(path).startswith("socket:")}

    assert len([path for path in held if str(path).startswith("socket:")]) == 1
    assert {name for name in others if not name.startswith("/proc/")} == {
        "/dev/null",
        str(child.log_path),
    }


@pytest.mark.skipif(sys.platform != "linux", reason="counts in /proc")
def test_many_lives_leave_no_descriptors_and_no_zombies(tmp_path: Path) -> None:
    def held() -> tuple[int, int]:
        return len(list(Path("/proc/self/fd").iterdir())), len(psutil.Process().children())

    with closing(ChildProcess.start(_MODULE, name="child", log_dir=tmp_path)):
        pass
    before = held()

    for number in (None, signal.SIGKILL, signal.SIGABRT, None, signal.SIGSEGV):
        with closing(ChildProcess.start(_MODULE, name="child", log_dir=tmp_path)) as child:
            if number is not None:
                _death_after(child, {"type": "die", "signal": int(number)})

    assert held() == before
