"""Owns the file in which this machine remembers what loads really took: one JSON object per line.

Nothing hangs on it: a line that is damaged is skipped, a file that cannot be read or written is
done without. It holds sizes and names of devices and architectures, and nothing of a model's user.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from localr1.errors import UsageError
from localr1.plan.ledger import Entry, entry_from_json
from localr1.settings import cache_dir

_NAME = "measured-memory.jsonl"
_MAX_BYTES = 128 * 1024  # several hundred lines
_KEPT_BYTES = _MAX_BYTES // 2
_MAX_LINE_BYTES = 2048


def read_ledger() -> tuple[Entry, ...]:
    """Every entry that can be read, oldest first."""
    try:
        data = _tail(cache_dir() / _NAME)
    except (OSError, UsageError):
        return ()
    entries = (_entry(line) for line in data.split(b"\n"))
    return tuple(entry for entry in entries if entry is not None)


def remember(entries: Iterable[Entry]) -> bool:
    """Append entries, in one write, so that two programs do not mix; whether they were kept."""
    lines = [json.dumps(entry.to_json()).encode() for entry in entries]
    try:
        path = cache_dir() / _NAME
        if path.exists() and path.stat().st_size > _MAX_BYTES:
            _shorten(path)
        # a line that was cut off by a crash ends before the first of ours
        _append(path, b"\n" + b"\n".join(lines) + b"\n")
    except (OSError, UsageError):
        return False
    return True


def _append(path: Path, data: bytes) -> None:
    if path.exists() and not path.is_file():
        raise FileExistsError(path)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)


def _shorten(path: Path) -> None:
    """Keep the newer half; entries that another program adds meanwhile may be lost."""
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        part.write_bytes(_tail(path)[-_KEPT_BYTES:])
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _tail(path: Path) -> bytes:
    """The newest lines, the first of them perhaps cut; nothing of what is no file."""
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _MAX_BYTES))
        return file.read(_MAX_BYTES)


def _entry(line: bytes) -> Entry | None:
    if not line.strip() or len(line) > _MAX_LINE_BYTES:
        return None
    try:
        return entry_from_json(json.loads(line))
    except (ValueError, RecursionError):
        return None
