"""Entries of the memory ledger, and where the file lies."""

from __future__ import annotations

from pathlib import Path

from backends.device import DeviceKind
from localr1.plan.ledger import Entry, What, Where
from localr1.settings import cache_dir


def an_entry() -> Entry:
    """A compute buffer that took a fifth more."""
    return Entry(
        where=Where(engine="0.3.36", kind=DeviceKind.CUDA, device="a card"),
        what=What(arch="qwen2", purpose="compute", setting="flash attention, f16/f16"),
        planned_bytes=1_000_000,
        measured_bytes=1_200_000,
    )


def ledger_path() -> Path:
    """The file, in whatever home is set."""
    return cache_dir() / "measured-memory.jsonl"
