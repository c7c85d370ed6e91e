"""Owns the reads of this machine: files, commands and facts of the operating system.

One small object, passed in, so that `probe` and the per-backend functions stay pure and any
machine can be played in a test.
"""

from __future__ import annotations

import math
import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psutil

from backends.container import cpu_quota, limited_memory

_COMMAND_S = 5.0


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What the CPU backend needs to know about the processor."""

    n_cores: int
    """Physical cores this process may use, after affinity and container quota; at least 1."""


@dataclass(frozen=True, slots=True)
class Memory:
    """The machine's own memory as this process may use it."""

    total_bytes: int
    available_bytes: int
    """What can be had without swapping; pages of mapped files count as available."""
    container_bytes: int | None = None
    """The limit of a container, where it is what counts."""


class Machine:
    """The machine we run on."""

    @property
    def system(self) -> str:
        """`Linux`, `Darwin` ..."""
        return platform.system()

    @property
    def architecture(self) -> str:
        """`x86_64`, `arm64` ..."""
        return platform.machine()

    def read(self, path: str) -> str | None:
        """A small text file, or None if it cannot be read."""
        try:
            return Path(path).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None

    def names_in(self, path: str) -> list[str]:
        """Sorted names in a directory; empty if it cannot be read."""
        try:
            return sorted(entry.name for entry in Path(path).iterdir())
        except OSError:
            return []

    def output_of(self, *command: str) -> str | None:
        """What a short command prints, or None if it is absent, fails or takes too long."""
        if shutil.which(command[0]) is None:
            return None
        try:
            done = subprocess.run(
                command, capture_output=True, timeout=_COMMAND_S, check=True, text=True
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout

    @property
    def memory_bytes(self) -> tuple[int, int]:
        """Of the whole machine: all of it, and what can be had without swapping."""
        memory = psutil.virtual_memory()
        return memory.total, memory.available

    @property
    def n_physical_cores(self) -> int:
        """Physical cores of the machine."""
        return psutil.cpu_count(logical=False) or os.cpu_count() or 1

    @property
    def n_allowed_cpus(self) -> int:
        """Logical processors this process may run on."""
        if hasattr(os, "sched_getaffinity"):
            return len(os.sched_getaffinity(0))
        return os.cpu_count() or 1


def host_facts(machine: Machine) -> HostFacts:
    """The processor as this process may use it."""
    usable = min(machine.n_physical_cores, machine.n_allowed_cpus)
    quota = cpu_quota(machine.read)
    if quota is not None:
        usable = min(usable, math.floor(quota))
    return HostFacts(n_cores=max(1, usable))


def usable_memory(machine: Machine) -> Memory:
    """The memory of the machine, or of the container that we run in if it is less."""
    total_bytes, available_bytes = machine.memory_bytes
    groups = [group for group in limited_memory(machine.read) if group.limit_bytes < total_bytes]
    if not groups:
        return Memory(total_bytes, available_bytes)
    container_bytes = min(group.limit_bytes for group in groups)
    least_bytes = min(group.available_bytes for group in groups)
    return Memory(container_bytes, min(available_bytes, least_bytes), container_bytes)
