"""Tokens of documents against the tokenizers themselves: other libraries, other ways of asking."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer

from localr1.documents.estimate import estimated
from localr1.documents.token_count import TokenCounter
from tests.support.models import R1_NANO_CHECKPOINT

_TEXTS = {
    "English": "The cache grows with every token, and a long thought blows up memory mid-chat. ",
    "German": "Künstliche Intelligenz ist ein Teilgebiet der Informatik, sagt man gelegentlich. ",
    "Russian": "Наука и технология создания интеллектуальных машин и компьютерных программ. ",
    "Chinese": "人工智能是计算机科学的一个分支，它企图了解智能的实质，并生产出智能机器。",
    "Hindi": "कृत्रिम बुद्धिमत्ता कंप्यूटर विज्ञान की एक शाखा है जो मशीनों को सिखाती है। ",
    "code": "def plan(card: Card, *, n_ctx: int = 4096) -> Plan:\n    return Plan(card, n_ctx)\n",
    "numbers": "2024-01-31, 17.25; 33 100 812; 0x7f3a; 1e-5, (3, 4)\n",
    "mathematics": "∀x∈ℝ: ∑ α_i·x_i ≤ √(β²+γ²) ⇒ λ∇g = 0. ",
}


@pytest.mark.parametrize("text", _TEXTS.values(), ids=_TEXTS)
def test_a_gguf_counts_what_the_checkpoints_library_counts(text: str, r1_nano: Path) -> None:
    library = Tokenizer.from_file(str(R1_NANO_CHECKPOINT / "tokenizer.json"))

    with TokenCounter(r1_nano) as counter:
        count = counter.count(text)

    assert not count.is_estimate
    assert count.lowest == len(library.encode(text, add_special_tokens=False).ids)


def test_a_checkpoint_counts_as_its_gguf_does(r1_nano: Path) -> None:
    text = "".join(_TEXTS.values())

    with TokenCounter(r1_nano) as gguf, TokenCounter(R1_NANO_CHECKPOINT) as checkpoint:
        assert checkpoint.count(text) == gguf.count(text)
        assert not checkpoint.why_estimated


@pytest.mark.parametrize("model", ["smollm2", "gemma3", "r1_7b"])
def test_the_estimate_holds_what_real_vocabularies_count(
    model: str, request: pytest.FixtureRequest
) -> None:
    path: Path = request.getfixturevalue(model)

    with TokenCounter(path) as counter:
        for name, text in _TEXTS.items():
            tokens, guess = counter.count(text * 20), estimated(text * 20)
            assert guess.lowest <= tokens.lowest <= guess.highest, name

    assert not counter.why_estimated


def test_the_first_tokens_of_a_document_are_as_many_as_asked_for(r1_nano: Path) -> None:
    text = "".join(_TEXTS.values()) * 5

    with TokenCounter(r1_nano) as counter:
        start = counter.first(text, 400)
        n_tokens = counter.count(start).lowest

    assert text.startswith(start)
    assert 390 <= n_tokens <= 400
