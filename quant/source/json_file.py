"""Owns how JSON from a checkpoint is read: bounded in size and depth, duplicates refused.

A checkpoint is a stranger's file. Python's parser takes the last of two equal keys in silence and
recurses as deep as the text; both are refused here with the file's name.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from quant.errors import CheckpointDamagedError, NotACheckpointError, unreadable

MIB = 1024**2


def read_json_object(path: Path, *, max_bytes: int = 4 * MIB) -> dict[str, Any]:
    """The JSON object in a file. Raises: CheckpointDamagedError naming the file."""
    try:
        if path.stat().st_size > max_bytes:
            raise CheckpointDamagedError(f"{path} is larger than {max_bytes // MIB} MiB")
        text = path.read_bytes()
    except FileNotFoundError as exc:
        raise NotACheckpointError(
            f"{path.parent} has no {path.name}", hint="give the directory of a whole checkpoint"
        ) from exc
    except OSError as exc:
        raise unreadable(path, exc) from exc
    return parse_json_object(text, str(path))


def parse_json_object(text: bytes, origin: str) -> dict[str, Any]:
    """The JSON object in `text`; `origin` names it in errors."""
    try:
        document = json.loads(text.decode(), object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as exc:
        # JSONDecodeError, UnicodeDecodeError and overlong integers are ValueErrors
        raise CheckpointDamagedError(f"{origin} is not valid JSON: {_first_line(exc)}") from exc
    if not isinstance(document, dict):
        raise CheckpointDamagedError(f"{origin} holds no JSON object")
    return document


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        repeated = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]  # add returns None
        raise ValueError(f"the key {repeated[:200]!r} occurs twice")
    return result


def _first_line(exc: Exception) -> str:
    return str(exc).splitlines()[0][:300] if str(exc) else type(exc).__name__
