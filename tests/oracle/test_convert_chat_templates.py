"""Chat templates in every place a checkpoint may keep them: our metadata against gguf-py's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import pytest

from quant.gguf.key_values import KeyValues
from quant.vocabulary.chat_template import add_chat_template

_NAMED = [
    {"name": "default", "template": "{{ messages }}"},
    {"name": "tool_use", "template": "{{ tools }}"},
]
_CONFIG, _JINJA, _JSON = "tokenizer_config.json", "chat_template.jinja", "chat_template.json"
_MORE = "additional_chat_templates"


@pytest.mark.parametrize(
    "files",
    [
        {_CONFIG: {"chat_template": "{{ messages }}"}},
        {_CONFIG: {"chat_template": _NAMED}},
        {_CONFIG: {"chat_template": _NAMED[1:]}},
        {_CONFIG: {"chat_template": [*_NAMED, {"name": "rag", "template": "{{ documents }}"}]}},
        {_CONFIG: {"chat_template": [{"name": "with a/blank", "template": "x"}, *_NAMED]}},
        {_CONFIG: {"chat_template": [{"name": "", "template": "x"}, {"name": "empty"}]}},
        {_CONFIG: {"chat_template": []}},
        {_CONFIG: {"chat_template": 7}},
        {_CONFIG: {"chat_template": "ours"}, _JINJA: "theirs"},
        {_CONFIG: {"chat_template": _NAMED}, f"{_MORE}/rag.jinja": "{{ documents }}"},
        {_JINJA: "Größe {{ messages }}\n"},
        {_JINJA: "{{ messages }}", f"{_MORE}/tool_use.jinja": "{{ tools }}"},
        {_JINJA: "a", f"{_MORE}/rag.jinja": "b", f"{_MORE}/tool use.jinja": "c"},
        {_JINJA: "a", f"{_MORE}/default.jinja": "b"},
        {_JINJA: "a", f"{_MORE}/notes.txt": "b"},
        {_JINJA: "a", _JSON: {"chat_template": "b"}},
        {_JSON: {"chat_template": "{{ messages }}"}},
        {_JSON: {"chat_template": _NAMED}},
        {f"{_MORE}/rag.jinja": "{{ documents }}"},
        {},
    ],
    ids=lambda files: " ".join(files) or "nothing",
)
def test_templates_are_found_where_gguf_py_finds_them(
    files: Mapping[str, Any], tmp_path: Path
) -> None:
    present: dict[str, Any] = {_CONFIG: {"model_max_length": 4096}, **files}
    for name, content in present.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        text = content if isinstance(content, str) else json.dumps(content)
        (tmp_path / name).write_text(text, encoding="utf-8")

    key_values = KeyValues()
    tokenizer_config = json.loads((tmp_path / _CONFIG).read_text(encoding="utf-8"))
    add_chat_template(key_values, tmp_path, tokenizer_config)

    ours = {key: value.value for key, value in key_values.items.items()}
    assert _comparable(ours) == _comparable(_by_gguf_py(tmp_path))


def _by_gguf_py(directory: Path) -> dict[str, Any]:
    writer = gguf.GGUFWriter(path=None, arch="llama")
    gguf.SpecialVocab(directory).add_to_gguf(writer, quiet=True)
    return {key: value.value for key, value in writer.kv_data[0].items() if "chat_" in key}


def _comparable(metadata: dict[str, Any]) -> dict[str, Any]:
    """Lists sorted: gguf-py's have the order of a set. Empty lists mean absence."""
    return {
        key: sorted(value) if isinstance(value, list) else value
        for key, value in metadata.items()
        if value != ""
    }
