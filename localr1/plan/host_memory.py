"""Owns reading the machine's memory and processor, so that everything else in `plan` is pure."""

from __future__ import annotations

import platform
from pathlib import Path

from backends.machine import Machine, usable_memory
from localr1.plan.request import HostMemory

_CPUINFO = Path("/proc/cpuinfo")


def read_host_memory() -> HostMemory:
    """Memory now, and the processor features that llama.cpp's CPU backend was built with."""
    memory = usable_memory(Machine())
    return HostMemory(
        total_bytes=memory.total_bytes,
        available_bytes=memory.available_bytes,
        cpu_features=_cpu_features(),
    )


def _cpu_features() -> frozenset[str]:
    is_arm = platform.machine().lower() in {"arm64", "aarch64"}
    try:
        words = set(_CPUINFO.read_text(encoding="utf-8", errors="replace").split())
    except OSError:
        # no Linux: Apple silicon has dotprod, and PCs without AVX2 are ten years old
        return frozenset({"dotprod" if is_arm else "avx2"})
    names = {"asimddp": "dotprod", "avx2": "avx2", "avx512f": "avx512"}
    return frozenset(feature for word, feature in names.items() if word in words)
