"""Owns how quantities are read and written: exact bytes inside, GiB with one decimal for people."""

from __future__ import annotations

import re

KIB = 1024
MIB = 1024**2
GIB = 1024**3

_MEMORY = re.compile(r"(\d{1,6}(?:\.\d{1,3})?) ?([gm])(?:i?b)?")


def format_bytes(n_bytes: float) -> str:
    """Bytes for people: `4.4 GiB`, `512 MiB`, `12 kB`-sized values as KiB."""
    if abs(n_bytes) >= GIB:
        return f"{n_bytes / GIB:.1f} GiB"
    if abs(n_bytes) >= MIB:
        return (
            f"{n_bytes / MIB:.0f} MiB" if abs(n_bytes) >= 10 * MIB else f"{n_bytes / MIB:.1f} MiB"
        )
    if abs(n_bytes) >= KIB:
        return f"{n_bytes / KIB:.0f} KiB"
    return f"{int(n_bytes)} B"


def parse_memory(text: str) -> int:
    """Memory as people write it, in binary units: `16G`, `16GB`, `16GiB`, `512M`.

    Raises: ValueError.
    """
    found = _MEMORY.fullmatch(text.strip().lower())
    if found is None:
        raise ValueError(f"{text} is no amount of memory; say 16G or 512M")
    return int(float(found[1]) * (GIB if found[2] == "g" else MIB))


def format_count(count: int) -> str:
    """A count for people: `1.8k`, `5.2M`, `7.6B`."""
    for limit, letter in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if abs(count) >= limit:
            return f"{count / limit:.1f}{letter}"
    return str(count)


def format_duration(seconds: float) -> str:
    """Seconds for people: `0.8 s`, `41 s`, `2 min 05 s`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"
