from __future__ import annotations

from typing import Any

import pytest

from quant.errors import UnsupportedError
from quant.vocabulary.pretokenizer import pretokenizer_name
from tests.support.checkpoint_zoo import LLAMA3_PATTERN

_BYTES = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}
_WORDS = {"type": "ByteLevel", "add_prefix_space": False}
_DIGITS = {"type": "Digits", "individual_digits": True}


def _split(pattern: str, **changes: Any) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated"} | changes


def _tokenizer(*steps: dict[str, Any], ignore_merges: bool = False) -> dict[str, Any]:
    return {
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": list(steps)},
        "model": {"ignore_merges": ignore_merges},
    }


@pytest.mark.parametrize(
    ("tokenizer", "expected"),
    [
        (_tokenizer(_split(LLAMA3_PATTERN.replace("{1,3}", "")), _BYTES), "qwen2"),
        (_tokenizer(_split(LLAMA3_PATTERN), _BYTES, ignore_merges=True), "llama-bpe"),
        (_tokenizer(_split(LLAMA3_PATTERN), _BYTES), "smaug-bpe"),
        (_tokenizer(_DIGITS, _WORDS), "smollm"),
        ({"pre_tokenizer": _WORDS, "model": {}}, "gpt-2"),
    ],
)
def test_a_pre_tokenizer_is_known_by_its_steps(tokenizer: dict[str, Any], expected: str) -> None:
    assert pretokenizer_name(tokenizer) == expected


@pytest.mark.parametrize(
    "tokenizer",
    [
        _tokenizer(_split(LLAMA3_PATTERN, invert=True), _BYTES),
        _tokenizer(_split(LLAMA3_PATTERN, behavior="Removed"), _BYTES),
        _tokenizer(_split(LLAMA3_PATTERN), _BYTES | {"add_prefix_space": True}),
        _tokenizer(_split(LLAMA3_PATTERN)),
        _tokenizer(_split("[a-z]+"), _BYTES),
        _tokenizer(_WORDS, ignore_merges=True),
    ],
)
def test_a_step_that_differs_is_not_taken_for_one_we_know(tokenizer: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedError, match="not known"):
        pretokenizer_name(tokenizer)
