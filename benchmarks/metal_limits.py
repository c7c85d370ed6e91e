"""Owns printed working sets of Metal beside what the profiles of Macs say."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from benchmarks.published_loads import Load
from localr1.hardware.apple import FIRST_NEWER_MACOS, working_set_bytes
from localr1.units import GIB

_MEMORY = re.compile(r"Apple M\d.*?(\d{1,3}) ?GB")
_MB = 1e6  # as llama.cpp prints it
_ALIKE = 1e-4


def report(loads: Iterable[Load]) -> tuple[str, dict[str, int]]:
    """How many printed limits are those of one macOS or the other, and those that are not.

    Logs do not say which macOS ran. A limit that someone raised is among those that are not.
    """
    n_alike, others = 0, []
    for load in loads:
        match, printed = _MEMORY.search(load.text("device")), _printed(load)
        if match and printed:
            said = _said(int(match[1]))
            if any(math.isclose(mb, printed, rel_tol=_ALIKE) for mb in said):
                n_alike += 1
            else:
                one, other = said
                others.append(
                    f"    {load.id:8} {load.text('device')}: {printed:.2f} MB printed, "
                    f"{one:.2f} or {other:.2f} known"
                )
    n_all = n_alike + len(others)
    lines = [f"Metal limits that are as printed: {n_alike} of {n_all}", *others]
    return "\n".join(lines), {"metal_limits": n_all, "metal_limits_right": n_alike}


def _printed(load: Load) -> float | None:
    return load.number("recommended_max_working_set_mb")


def _said(memory_gib: int) -> tuple[float, float]:
    older, newer = (
        working_set_bytes(memory_gib * GIB, macos=macos) / _MB
        for macos in (FIRST_NEWER_MACOS - 1, FIRST_NEWER_MACOS)
    )
    return older, newer
