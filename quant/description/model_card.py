"""Owns the front matter of a checkpoint's README.md: who made the model, from what, for what.

Model cards are YAML written by hand. What cannot be read is left out rather than stopping a
conversion: no weight depends on it. Reads what gguf-py/gguf/metadata.py reads.
"""

from __future__ import annotations

import datetime as dt
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quant.description.model_name import split_model_id, title_of

_MAX_BYTES = 1024**2
_MAX_ITEMS = 1000
_MAX_TEXT = 16 * 1024
_SCALARS = (str, int, float, dt.date)
_HUB_URL = re.compile(r"https?://huggingface.co/([^/]+/[^/]+)")

_log = logging.getLogger(__name__)


def read_model_card(directory: Path) -> dict[str, Any]:
    """The front matter, or an empty mapping if there is none that can be read."""
    import yaml  # type: ignore[import-untyped]  # PyYAML ships no types

    path = directory / "README.md"
    try:
        if not path.is_file() or path.stat().st_size > _MAX_BYTES:
            return {}
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        _log.warning("%s is left out: %s", path, exc)
        return {}
    if not lines or lines[0] != "---":
        return {}
    end = lines.index("---", 1) if "---" in lines[1:] else len(lines)
    # YAML takes the language code `no` for false, and no tabs; cards have both
    text = "\n".join([*lines[1:end], ""]).replace("- no\n", '- "no"\n').replace("\t", "  ")
    try:
        card = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as exc:
        _log.warning("the front matter of %s is left out: %s", path, exc)
        return {}
    return card if isinstance(card, dict) else {}


def first_of(card: Mapping[str, Any], *keys: str) -> str | None:
    """The first value present under any of the keys, as text; a list joined by commas."""
    for key in keys:
        if card.get(key) is not None:
            return ",".join(_texts(card[key]))
    return None


def texts_of(card: Mapping[str, Any], *keys: str) -> list[str]:
    """Every text under the keys, lists flattened."""
    return [text for key in keys for text in _texts(card.get(key))]


def origins_of(card: Mapping[str, Any], *keys: str, n_params: int) -> list[dict[str, str]] | None:
    """Base models or data sets under the first key present, each as GGUF describes an origin.

    None if no key is present; an unreadable entry becomes an empty description, so that the count
    stays right.
    """
    key = next((key for key in keys if key in card), None)
    if key is None:
        return None
    entries = card[key] if isinstance(card[key], list) else [card[key]]
    return [_origin(entry, n_params) for entry in entries[:_MAX_ITEMS] if entry is not None]


def _texts(value: Any) -> list[str]:
    """Scalars as text. YAML aliases can unfold without end, so nothing nested is followed."""
    items = value[:_MAX_ITEMS] if isinstance(value, list) else [value]
    texts = [str(item) for item in items if isinstance(item, _SCALARS)]
    return [text for text in texts if len(text) <= _MAX_TEXT]


def _origin(entry: Any, n_params: int) -> dict[str, str]:
    if isinstance(entry, dict):
        return {key: first_of(entry, key) or "" for key in entry if isinstance(key, str)}
    if not isinstance(entry, str) or len(entry) > _MAX_TEXT:
        return {}
    is_url = entry.startswith(("http://", "https://", "ssh://"))
    hub = _HUB_URL.fullmatch(entry) if is_url else None
    if is_url and hub is None:
        return {"repo_url": entry}
    parts = split_model_id(hub[1] if hub else entry, n_params)
    origin = {"repo_url": entry} if is_url else {}
    if parts.name is not None:
        origin["name"] = title_of(parts.name)
    if parts.organization is not None:
        origin["organization"] = title_of(parts.organization)
    if parts.version is not None:
        origin["version"] = parts.version
    if not is_url and parts.organization is not None:
        origin["repo_url"] = f"https://huggingface.co/{parts.organization}/{parts.name}"
    return origin
