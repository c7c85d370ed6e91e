"""Pre-tokenizers are known by their steps, and by nothing less."""

from __future__ import annotations

from typing import Any

import pytest

from quant.errors import UnsupportedError
from quant.vocabulary.pretokenizer import pretokenizer_name
from tests.support.pre_tokenizers import (
    BYTES,
    DIGITS,
    LLAMA_3,
    PRE_TOKENIZERS,
    QWEN_2,
    WORDS,
    split,
)


def _tokenizer(*steps: dict[str, Any], **model: Any) -> dict[str, Any]:
    return {
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": list(steps)},
        "model": {"vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]} | model,
    }


@pytest.mark.parametrize("name", list(PRE_TOKENIZERS))
def test_a_pre_tokenizer_is_known_by_its_steps(name: str) -> None:
    steps, ignores_merges = PRE_TOKENIZERS[name]

    assert pretokenizer_name(_tokenizer(*steps, ignore_merges=ignores_merges)) == name


def test_a_step_alone_needs_no_sequence() -> None:
    assert pretokenizer_name({"pre_tokenizer": WORDS, "model": {}}) == "gpt-2"


@pytest.mark.parametrize(
    "tokenizer",
    [
        _tokenizer(split(LLAMA_3, invert=True), BYTES),
        _tokenizer(split(LLAMA_3, behavior="Removed"), BYTES),
        _tokenizer(split("[\r\n]", behavior="Removed", invert=True), BYTES),
        _tokenizer(split(LLAMA_3), BYTES | {"add_prefix_space": True}),
        _tokenizer(split(LLAMA_3)),
        _tokenizer(split("[a-z]+"), BYTES),
        _tokenizer(DIGITS | {"individual_digits": False}, WORDS),
    ],
)
def test_a_step_that_differs_is_not_taken_for_one_we_know(tokenizer: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedError, match="not known"):
        pretokenizer_name(tokenizer)


def test_taking_tokens_whole_is_no_difference_if_merging_builds_every_token() -> None:
    merges = ["b c", "a b", "ab c", "abc d"]
    vocabulary = dict.fromkeys(["a", "b", "c", "d", "ab", "bc", "abc", "<x>"], 0)
    tokenizer = _tokenizer(split(QWEN_2), BYTES, ignore_merges=True)

    # a b c: b c comes first, and then nothing joins a to it
    tokenizer["model"] |= {"vocab": vocabulary, "merges": merges}
    with pytest.raises(UnsupportedError, match="ignoring merges"):
        pretokenizer_name(tokenizer)

    tokenizer["model"]["merges"] = [*merges, ["a", "bc"]]
    tokenizer["added_tokens"] = [{"content": "<x>"}]
    assert pretokenizer_name(tokenizer) == "qwen2"


@pytest.mark.parametrize(
    "model",
    [
        {"vocab": None},
        {"vocab": {}},
        {"merges": "a b"},
        {"merges": [["a", "b", "c"]]},
        {"merges": []},
        {"vocab": {"a" * 10_001: 0}},
    ],
)
def test_a_model_whose_merging_cannot_be_followed_is_refused(model: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedError, match="ignoring merges"):
        pretokenizer_name(_tokenizer(WORDS, ignore_merges=True, **model))


def test_a_cut_at_digits_that_llama_cpp_does_not_make_needs_tokens_of_one_digit() -> None:
    steps, _ = PRE_TOKENIZERS["deepseek-llm"]

    with pytest.raises(UnsupportedError, match="joins them"):
        pretokenizer_name(_tokenizer(*steps, vocab={"a12": 0}))
