from __future__ import annotations

import unicodedata

import pytest

from localr1.verify.texts import N_TEXTS, plain_texts, texts_with


def test_there_are_2000_different_texts_and_always_the_same() -> None:
    texts = plain_texts()

    assert len(set(texts)) == len(texts) == N_TEXTS == 2000
    assert plain_texts() == texts


def test_every_text_is_composed_because_llama_cpp_composes_nothing() -> None:
    assert all(unicodedata.is_normalized("NFC", text) for text in plain_texts())


@pytest.mark.parametrize(
    "part",
    ["isn't", "模型", "한국어", "مرحبا", "👍🏽", "\t\tx[i] += 1;", "12345678901234567890", "\r\n"],
)  # fmt: skip
def test_each_kind_of_text_comes_alone_and_beside_others(part: str) -> None:
    texts = plain_texts()

    assert any(text.strip() == part.strip() for text in texts)
    assert sum(part in text for text in texts) > 5


def test_text_may_follow_special_tokens_only_where_both_sides_agree_on_it() -> None:
    everywhere = texts_with(["<a>", "<b>"], only_last=False)
    last = texts_with(["<a>", "<b>"], only_last=True)

    assert "<a>Hello, 世界<b>def f(): pass<a>" in everywhere
    assert last == ["What is 12 + 8?<a>", "What is 12 + 8?<b>"]
    assert texts_with([], only_last=False) == []
