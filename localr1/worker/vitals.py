"""Owns what can be seen of a child from outside: whether it still works, and how big it is."""

from __future__ import annotations

import time

import psutil

LOOK_S = 1.0
"""How often it is worth looking."""


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


def _cpu_seconds(pid: int) -> float:
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)
