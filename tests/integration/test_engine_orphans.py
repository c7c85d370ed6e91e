"""No child outlives the process that started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

_ROOT = Path(__file__).resolve().parents[2]

_PARENT = """
import sys, threading
from localr1.worker.process import ChildProcess
started = []
def start():
    started.append(ChildProcess.start("tests.support.scripted_child", name="child"))
thread = threading.Thread(target=start)
thread.start()
thread.join()  # the thread that asked is gone, the child must not be
child = started[0]
child.send({"type": "echo"})
print(child.receive(20)["type"], child.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def parent() -> Iterator[Callable[[int], int]]:
    """A parent in a process of its own; calling it with a signal ends it and gives the child."""
    process = subprocess.Popen(
        [sys.executable, "-c", _PARENT],
        cwd=_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
    )
    assert process.stdout is not None
    echoed, pid = process.stdout.readline().split()
    assert echoed == "echo"

    def end(number: int) -> int:
        process.send_signal(number)
        process.communicate()
        return int(pid)

    yield end
    process.kill()
    process.communicate()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_child_goes_when_its_parent_is_killed(parent: Callable[[int], int], number: int) -> None:
    pid = parent(number)

    _await_end(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="needs the parent-death signal")
def test_stopped_child_goes_when_its_parent_is_killed(parent: Callable[[int], int]) -> None:
    children = [p for p in psutil.Process().children(recursive=True) if "scripted" in _line(p)]
    children[-1].send_signal(signal.SIGSTOP)

    pid = parent(signal.SIGKILL)

    _await_end(pid)


def _await_end(pid: int) -> None:
    """The test's own time limit ends a wait in vain; who inherits an orphan may reap it later."""
    with suppress(psutil.NoSuchProcess):
        orphan = psutil.Process(pid)
        orphan.wait()
        assert orphan.status() in {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}


def _line(process: psutil.Process) -> str:
    return " ".join(process.cmdline())
