from __future__ import annotations

from pathlib import Path

import pytest

from localr1.documents.estimate import Count, estimated
from localr1.documents.token_count import TokenCounter, longest_start


def _words(text: str) -> int:
    return len(text.split())


def test_a_text_that_is_short_enough_is_left_whole() -> None:
    assert longest_start("a b c", 3, _words) == "a b c"


@pytest.mark.parametrize("n_tokens", [1, 10, 500, 999])
def test_the_start_of_an_even_text_is_as_long_as_it_may_be(n_tokens: int) -> None:
    text = "word " * 1000

    start = longest_start(text, n_tokens, _words)

    assert text.startswith(start)
    assert n_tokens * 0.98 - 1 <= _words(start) <= n_tokens


def test_an_uneven_text_is_never_cut_too_late() -> None:
    text = "incomprehensibilities " * 400 + "a b c d " * 2000

    start = longest_start(text, 2000, _words)

    assert 1900 <= _words(start) <= 2000


def test_nothing_is_the_start_where_nothing_fits() -> None:
    assert longest_start("word " * 10, 0, _words) == ""


def test_a_text_is_asked_about_a_few_times_only() -> None:
    asked: list[int] = []

    def count(text: str) -> int:
        asked.append(len(text))
        return len(text.encode()) ** 2

    longest_start("x" * 100_000, 1_000_000, count)

    assert len(asked) < 20


def test_without_a_tokenizer_there_is_an_estimate_that_says_why() -> None:
    with TokenCounter(None) as counter:
        count = counter.count("The quick brown fox jumps over the lazy dog.")

    assert count.is_estimate
    assert count.lowest <= 10 <= count.highest
    assert counter.why_estimated == "the model's tokenizer is not here"


def test_a_model_that_is_none_is_estimated_and_the_reason_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF\x03\0\0\0" + b"\xff" * 64)

    with TokenCounter(path) as counter:
        counts = [counter.count("one two"), counter.count("three")]

    assert all(count.is_estimate for count in counts)
    assert counter.why_estimated.startswith("the model's tokenizer cannot be used: ")
    assert "\n" not in counter.why_estimated


def test_counts_add_up_and_exact_ones_stay_exact() -> None:
    assert Count.exact(2) + Count.exact(3) == Count.exact(5)
    assert (Count.exact(2) + Count(1, 4)).is_estimate
    assert estimated("").lowest == 0
