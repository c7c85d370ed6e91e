"""Owns where a checkpoint keeps its chat templates, and their place in the metadata.

tokenizer_config.json speaks first, then chat_template.jinja with additional_chat_templates/, then
chat_template.json. A template is text to us; nothing here renders it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quant.errors import CheckpointDamagedError, unreadable
from quant.gguf.key_values import KeyValues
from quant.source.json_file import read_json_object

_MAX_BYTES = 1024**2
_NOT_ALLOWED = re.compile(r"[^a-zA-Z0-9]")


def add_chat_template(
    key_values: KeyValues, directory: Path, tokenizer_config: Mapping[str, Any]
) -> None:
    """Add the default template, and named ones under `tokenizer.chat_template.NAME`."""
    templates = tokenizer_config.get("chat_template")
    if templates is None:
        templates = _templates_in_files(directory)
    if isinstance(templates, str):
        templates = [{"name": "default", "template": templates}]
    if not isinstance(templates, list):
        return
    by_name: dict[str, str] = {}
    for entry in templates:
        match entry:
            case {"name": str(name), "template": str(template)} if name:
                by_name[_NOT_ALLOWED.sub("_", name)] = template
    default = by_name.pop("default", "")
    for name, template in by_name.items():
        key_values.string(f"tokenizer.chat_template.{name}", template)
    key_values.strings("tokenizer.chat_templates", sorted(by_name))
    key_values.string("tokenizer.chat_template", default)


def _templates_in_files(directory: Path) -> Any:
    jinja = directory / "chat_template.jinja"
    if jinja.is_file():
        named = sorted((directory / "additional_chat_templates").glob("*.jinja"))
        return [
            {"name": "default", "template": _read_text(jinja)},
            *({"name": path.stem, "template": _read_text(path)} for path in named),
        ]
    as_json = directory / "chat_template.json"
    return read_json_object(as_json).get("chat_template") if as_json.is_file() else None


def _read_text(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise CheckpointDamagedError(f"{path} is larger than 1 MiB")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as exc:
        raise CheckpointDamagedError(f"{path} is not UTF-8 text: {exc}") from exc
    except OSError as exc:
        raise unreadable(path, exc) from exc
