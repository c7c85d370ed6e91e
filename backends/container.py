"""Owns what a container leaves of a machine: memory and processors, by Linux's control groups.

A limit may be set on our own group or on any one above it, so all of them are read; a file that is
not there sets none. Where a namespace hides the groups above, the mount itself is our group.
Source: the kernel's Documentation/admin-guide/cgroup-v2.rst (memory, cpu.max),
cgroup-v1/memory.rst and scheduler/sched-bwc.rst.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

Read = Callable[[str], str | None]
"""From a path to the text of that file, None if it cannot be read."""

_MOUNT = "/sys/fs/cgroup"
_LIMITS = ("memory.max", "memory.high", "memory.limit_in_bytes")
_USED = ("memory.current", "memory.usage_in_bytes")
# version 1 counts the groups below only under these names
_FILE_PAGES = (("total_active_file", "total_inactive_file"), ("active_file", "inactive_file"))


@dataclass(frozen=True, slots=True)
class GroupMemory:
    """One group that limits us."""

    limit_bytes: int
    """Above it memory is taken back, or processes are killed."""
    available_bytes: int
    """What is left of it; pages of files count, for they can be read again."""


def limited_memory(read: Read) -> tuple[GroupMemory, ...]:
    """Every group with a limit that we are in. "No limit" may be a huge number in version 1."""
    return tuple(_memory_groups(read))


def cpu_quota(read: Read) -> float | None:
    """Processors that the tightest of our groups allows, None without a limit."""
    return min(_quotas(read), default=None)


def _memory_groups(read: Read) -> Iterator[GroupMemory]:
    for folder in _folders(read, "memory"):
        limits = _numbers(read, folder, _LIMITS)
        used = _numbers(read, folder, _USED)
        if limits and used:
            taken_bytes = max(used[0] - _file_bytes(read(f"{folder}/memory.stat") or ""), 0)
            yield GroupMemory(min(limits), max(min(limits) - taken_bytes, 0))


def _file_bytes(statistics: str) -> int:
    """Cached pages of files, which the kernel gives up before anything is swapped or killed."""
    words = (line.split() for line in statistics.splitlines())
    found = {pair[0]: int(pair[1]) for pair in words if len(pair) == 2 and pair[1].isdecimal()}
    names = next((names for names in _FILE_PAGES if names[0] in found), ())
    return sum(found.get(name, 0) for name in names)


def _quotas(read: Read) -> Iterator[float]:
    for folder in _folders(read, "cpu"):
        both = read(f"{folder}/cpu.max")
        if both is None:
            names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
            both = " ".join(read(f"{folder}/{name}") or "" for name in names)
        numbers = [int(word) for word in both.split() if word.isdecimal()]
        # the quota is "max" or -1 where there is none
        if len(numbers) == 2 and all(numbers):
            yield numbers[0] / numbers[1]


def _folders(read: Read, controller: str) -> Iterator[str]:
    """Our groups for a controller, and all above them."""
    for line in (read("/proc/self/cgroup") or "").splitlines():
        controllers, _, path = line.partition(":")[2].partition(":")
        if not controllers:
            mounts = [_MOUNT, f"{_MOUNT}/unified"]  # version 2, alone or beside the other
        elif controller in controllers.split(","):
            mounts = [f"{_MOUNT}/{controller}"]
        else:
            continue
        group = PurePosixPath("/", path)
        for mount in mounts:
            for above in (group, *group.parents):
                yield f"{mount}{above}".rstrip("/")


def _numbers(read: Read, folder: str, names: tuple[str, ...]) -> list[int]:
    texts = ((read(f"{folder}/{name}") or "").strip() for name in names)
    return [int(text) for text in texts if text.isdecimal()]  # not "max"
