"""Tokenizer files that cannot be carried over: each is refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from quant.errors import CheckpointDamagedError
from tests.support.checkpoint_refusals import refusal
from tests.support.checkpoint_zoo import change_json, write_checkpoint


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": {"type": "Unigram"}}, "only BPE"),
        ({"model": {"type": "BPE", "byte_fallback": True}}, "merges"),
        ({"model": {"type": "BPE", "byte_fallback": True, "merges": []}}, "vocabulary"),
        (
            {"model": {"type": "BPE", "byte_fallback": True, "merges": [], "vocab": {"a": 0}}},
            "in a SentencePiece tokenizer",
        ),
        ({"model": {"type": "BPE", "vocab": {}}}, "vocabulary"),
        ({"model": {"type": "BPE", "vocab": {"a": 0, "b": 0}, "merges": []}}, "two tokens"),
        ({"model": {"type": "BPE", "vocab": {"a": 1024}, "merges": []}}, "id 1024"),
        ({"model": {"type": "BPE", "vocab": {"a": "1"}, "merges": []}}, "id 1"),
        ({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [["a"]]}}, "no pair"),
        ({"model": {"type": "BPE", "vocab": {"a": 0}}}, "merges"),
        ({"normalizer": {"type": "Lowercase"}}, "Lowercase"),
        ({"pre_tokenizer": None}, "not known"),
        ({"pre_tokenizer": {"type": "Whitespace"}}, "Whitespace"),
        ({"added_tokens": {"a": 1}}, "added_tokens"),
        ({"added_tokens": [{"id": 1}]}, "no content"),
        ({"added_tokens": ["text"]}, "added_tokens"),
        ({"post_processor": {"type": "Sequence", "processors": 7}}, "post_processor"),
        ({"post_processor": {"type": "TemplateProcessing", "single": 7}}, "post_processor"),
        ({"model": {"type": "BPE", "vocab": {"\ud800": 0}, "merges": []}}, "Unicode"),
    ],
)
def test_a_tokenizer_we_cannot_carry_over_is_refused(
    changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    source = write_checkpoint("odd_rows", tmp_path)
    change_json(source / "tokenizer.json", **changes)

    assert words in refusal(source, tmp_path).message


def test_nesting_beyond_what_python_can_follow_is_refused(tmp_path: Path) -> None:
    source = write_checkpoint("odd_rows", tmp_path)
    node = "null"
    for _ in range(3000):
        node = '{"type": "Sequence", "normalizers": [' + node + "]}"
    path = source / "tokenizer.json"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('"normalizer": null', f'"normalizer": {node}'), encoding="utf-8")

    assert isinstance(refusal(source, tmp_path), CheckpointDamagedError)


def test_an_impossible_token_id_is_refused(tmp_path: Path) -> None:
    source = write_checkpoint("odd_rows", tmp_path)
    (source / "tokenizer_config.json").unlink()
    change_json(source / "config.json", bos_token_id=-5)

    assert "bos token" in refusal(source, tmp_path).message
