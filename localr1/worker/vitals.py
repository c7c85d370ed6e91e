"""Owns what can be seen of a child from outside: whether it works, how big it is, what is left."""

from __future__ import annotations

import time
from dataclasses import dataclass

import psutil

from backends.machine import Machine, usable_memory

LOOK_S = 1.0
"""How often it is worth looking."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryNow:
    """The machine's memory, or a container's, and what a process has of it."""

    total_bytes: int
    available_bytes: int
    """What can be had without swapping."""
    resident_bytes: int
    own_bytes: int | None
    """Resident without pages of files; None where the system does not tell (macOS)."""


class StallWatch:
    """Notices a child that neither speaks nor computes.

    Processor time counts as activity: one step of a big model on a slow machine takes minutes,
    while a stopped or deadlocked process uses none. Only time between two looks counts, so that
    a machine waking from sleep does not take its own absence for a stall.
    """

    def __init__(self, pid: int, stall_s: float) -> None:
        self._pid = pid
        self._stall_s = stall_s
        self._idle_s = 0.0
        self._cpu_s = 0.0
        self._looked_s = time.monotonic()

    def reset(self) -> None:
        """The child spoke."""
        self._idle_s = 0.0
        self._looked_s = time.monotonic()

    def has_stalled(self) -> bool:
        """Whether the process has been idle for longer than it may; call it while waiting."""
        since_s = time.monotonic() - self._looked_s
        if since_s < LOOK_S:
            return False
        self._looked_s += since_s
        cpu_s = _cpu_seconds(self._pid)
        if cpu_s > self._cpu_s:
            self._cpu_s, self._idle_s = cpu_s, 0.0
            return False
        self._idle_s += min(since_s, 2 * LOOK_S)
        return self._idle_s > self._stall_s


def resident_bytes(pid: int) -> int:
    """Resident size of a process, 0 if it is gone."""
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def is_stopped(pid: int) -> bool:
    """Whether a process has been stopped by a signal, so that it hears no other one."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    except psutil.Error:
        return False


def memory_now(pid: int) -> MemoryNow | None:
    """A look at the machine and at a process; None if the process is gone."""
    try:
        process = psutil.Process(pid).memory_info()
        memory = usable_memory(Machine())
    except (psutil.Error, OSError):
        return None
    shared_bytes = getattr(process, "shared", None)
    return MemoryNow(
        total_bytes=memory.total_bytes,
        available_bytes=memory.available_bytes,
        resident_bytes=process.rss,
        own_bytes=None if shared_bytes is None else process.rss - shared_bytes,
    )


def _cpu_seconds(pid: int) -> float:
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)
