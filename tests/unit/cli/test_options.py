from __future__ import annotations

import pytest

from backends.errors import UnsupportedParametersError
from localr1.cli.ask import read_prompt
from localr1.errors import UsageError
from localr1.model_options import ModelOptions, parse_ctx, parse_kv
from tests.support.streams import FakeStream, TextInput


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("q8_0", ("q8_0", "q8_0")),
        ("Q8_0, f16", ("q8_0", "f16")),
    ],
)
def test_kv_takes_one_type_or_two(text: str, expected: tuple[str, str]) -> None:
    assert parse_kv(text) == expected


def test_more_than_two_kv_types_are_a_usage_error() -> None:
    with pytest.raises(UsageError):
        parse_kv("f16,f16,f16")


@pytest.mark.parametrize("text", ["", "q9_0", "f16,"])
def test_unknown_kv_type_is_an_error_that_lists_the_known(text: str) -> None:
    with pytest.raises(UnsupportedParametersError) as error:
        parse_kv(text)

    assert "q8_0" in error.value.hint


@pytest.mark.parametrize(
    ("words", "stdin", "expected"),
    [
        pytest.param(("What", "is", "7?"), "ignored", "What is 7?", id="words"),
        pytest.param((), "from a pipe", "from a pipe", id="pipe"),
        pytest.param(("Shorten:", "-"), "long text", "Shorten: long text", id="both"),
    ],
)
def test_question_comes_from_words_and_stdin(
    words: tuple[str, ...], stdin: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", TextInput(stdin.encode()))

    assert read_prompt(words) == expected


def test_no_question_on_a_terminal_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", FakeStream(is_terminal=True))

    with pytest.raises(UsageError):
        read_prompt(())


@pytest.mark.parametrize("text", ["", " \n"])
def test_empty_question_is_a_usage_error(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", TextInput(text.encode()))

    with pytest.raises(UsageError):
        read_prompt(())


@pytest.mark.parametrize(
    ("text", "expected"),
    [(None, None), ("max", "max"), ("4096", 4096), ("16k", 16_384)],
)
def test_context_is_a_number_or_max(text: str | None, expected: int | str | None) -> None:
    assert parse_ctx(text) == expected


@pytest.mark.parametrize("text", ["", "0", "-1", "1e3", "k", "1.5k", "maximum"])
def test_other_contexts_are_usage_errors(text: str) -> None:
    with pytest.raises(UsageError):
        parse_ctx(text)


def test_bytes_that_are_no_text_are_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", TextInput(b"\xff\xfe\x80"))

    with pytest.raises(UsageError, match="UTF-8"):
        read_prompt(())


def test_words_that_are_no_text_are_a_usage_error() -> None:
    with pytest.raises(UsageError, match="UTF-8"):
        read_prompt(("\udcff7*6",))


def test_stdin_that_was_closed_is_no_question(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)

    with pytest.raises(UsageError, match="no question"):
        read_prompt(())


def test_empty_stop_text_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="--stop"):
        ModelOptions(stop=("",))
