"""Owns what the values of a header look like once a log or a JSON file has printed them."""

from __future__ import annotations

import json

from quant.gguf.contents import Scalar, Value

_MAX_ITEMS = 512
"""A list that was cut short is one item per layer."""


def read_printed(value: object) -> Value | None:
    """A value as a header would have it, from what JSON or a log makes of it."""
    if isinstance(value, list):
        items = tuple(item for item in map(_scalar, value) if item is not None)
        return items if len(items) == len(value) else None
    if isinstance(value, str) and value.startswith("["):
        return _printed_list(value)
    return _scalar(value)


def _scalar(value: object) -> Scalar | None:
    if isinstance(value, str) and value in {"true", "false"}:
        return value == "true"
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, bool | int | float | str) else None


def _printed_list(text: str) -> tuple[Scalar, ...] | None:
    """A list as printed; one that was cut short goes on with the shortest period it shows."""
    inner = text.strip("[] ")
    parts = [part.strip() for part in inner.split(",") if part.strip() and "..." not in part]
    try:
        items = tuple(json.loads(part) for part in parts)
    except ValueError:
        return None
    if "..." not in text or not items:
        return items
    period = next(
        n for n in range(1, len(items) + 1) if all(a == items[i % n] for i, a in enumerate(items))
    )
    return tuple(items[i % period] for i in range(_MAX_ITEMS))
