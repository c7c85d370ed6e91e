from __future__ import annotations

import os

import psutil
import pytest

from backends.machine import Machine, usable_memory
from localr1.worker import vitals
from localr1.worker.vitals import StallWatch, memory_now


class _Clock:
    """Time and a process, both moved by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 100.0
        self.cpu_s = 5.0
        monkeypatch.setattr("localr1.worker.vitals.time.monotonic", lambda: self.now_s)
        monkeypatch.setattr(vitals, "_cpu_seconds", lambda _pid: self.cpu_s)

    def idle_for(self, watch: StallWatch, seconds: int) -> bool:
        verdicts = []
        for _ in range(seconds):
            self.now_s += 1
            verdicts.append(watch.has_stalled())
        return verdicts[-1]


def test_process_that_uses_no_processor_time_has_stalled(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = _Clock(monkeypatch)
    watch = StallWatch(1, stall_s=10)

    assert not clock.idle_for(watch, 11)
    assert clock.idle_for(watch, 1)


def test_process_that_computes_has_not_stalled(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = _Clock(monkeypatch)
    watch = StallWatch(1, stall_s=10)

    for _ in range(50):
        clock.cpu_s += 0.1
        assert not clock.idle_for(watch, 1)


def test_process_that_speaks_has_not_stalled(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = _Clock(monkeypatch)
    watch = StallWatch(1, stall_s=10)
    clock.idle_for(watch, 11)

    watch.reset()

    assert not clock.idle_for(watch, 10)


def test_sleep_of_the_machine_is_no_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = _Clock(monkeypatch)
    watch = StallWatch(1, stall_s=10)
    clock.idle_for(watch, 1)

    clock.now_s += 3600

    assert not watch.has_stalled()


def test_a_look_tells_what_is_left_and_what_a_process_has() -> None:
    now = memory_now(os.getpid())

    assert now is not None
    assert now.total_bytes == usable_memory(Machine()).total_bytes
    assert 0 < now.available_bytes <= now.total_bytes
    assert now.own_bytes is None or 0 < now.own_bytes <= now.resident_bytes


def test_a_process_that_is_gone_has_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(pid: int) -> psutil.Process:
        raise psutil.NoSuchProcess(pid)

    monkeypatch.setattr(psutil, "Process", gone)

    assert memory_now(1) is None
