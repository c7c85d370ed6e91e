"""The splitters on worked examples: what each stream receives, and the state they report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from localr1.chat.reasoning import Piece, ThinkSplitter, TokenSplitter

GOLDEN = Path(__file__).parents[2] / "golden"
OPEN_ID, CLOSE_ID, WORD_ID = 7, 8, 1


def load(name: str) -> list[dict[str, Any]]:
    lines = (GOLDEN / name).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


EXAMPLES = load("split_examples.jsonl")
# the others name what a pair of tags cannot do: channels, alternatives, frames, token ids
DECISIONS = [
    case
    for case in load("split_decisions.jsonl")
    if case["category"] not in {"harmony", "token_level"} and case["id"] not in {"gra-01", "gra-03"}
]


def split(splitter: ThinkSplitter, chunks: list[str]) -> list[Piece]:
    pieces = [piece for chunk in chunks for piece in splitter.feed(chunk)]
    return pieces + splitter.finish()


def stream(pieces: list[Piece], name: str) -> str:
    return "".join(text for stream, text in pieces if stream == name)


def tags(case: dict[str, Any]) -> tuple[str, str, bool]:
    return case["open_tag"], case["close_tag"], case["starts_in_thinking"]


@pytest.mark.parametrize("case", EXAMPLES, ids=lambda case: case["id"])
def test_example_splits_as_every_peer_agrees_at_every_chunk_size(case: dict[str, Any]) -> None:
    text = "".join(case["chunks"])
    sizes = sorted({1, 2, 3, 5, 7, 11, max(1, len(text) - 1), max(1, len(text))})
    chunkings = [case["chunks"]]
    chunkings += [[text[i : i + size] for i in range(0, len(text), size)] for size in sizes]

    for chunks in chunkings:
        splitter = ThinkSplitter(*tags(case))
        pieces = split(splitter, chunks)

        assert stream(pieces, "thinking") == case["expect_thinking"]
        assert stream(pieces, "answer") == case["expect_answer"]
        assert splitter.closed is case["expect_closed"]


@pytest.mark.parametrize("case", DECISIONS, ids=lambda case: case["id"])
def test_disputed_case_is_decided_for_losing_nothing(case: dict[str, Any]) -> None:
    for chunks in (case["chunks"], ["".join(case["chunks"])], list("".join(case["chunks"]))):
        pieces = split(ThinkSplitter(*tags(case)), chunks)

        assert [stream(pieces, "thinking"), stream(pieces, "answer")] == case["recommended"]


def test_text_that_cannot_be_a_tag_is_given_out_at_once() -> None:
    splitter = ThinkSplitter("<think>", "</think>", starts_in_thinking=True)

    assert splitter.feed("so ") == [("thinking", "so ")]
    assert splitter.feed("a <b </thi") == [("thinking", "a <b ")]
    assert splitter.feed("s") == [("thinking", "</this")]


def test_thinking_that_was_never_closed_stays_thinking_and_says_so() -> None:
    splitter = ThinkSplitter("<think>", "</think>", starts_in_thinking=True)

    assert split(splitter, ["hm</thin"]) == [("thinking", "hm"), ("thinking", "</thin")]
    assert (splitter.opened, splitter.closed, splitter.is_thinking) == (True, False, True)


def test_plain_answer_never_opens() -> None:
    splitter = ThinkSplitter("<think>", "</think>", starts_in_thinking=False)
    split(splitter, ["It is Tuesday."])

    assert (splitter.opened, splitter.closed, splitter.is_thinking) == (False, False, False)


@pytest.mark.parametrize(
    ("open_tag", "close_tag"), [("", "</t>"), ("<t>", ""), (" <t>", "</t>"), ("<t>", "<t>x")]
)
def test_tags_that_cannot_be_told_apart_are_refused(open_tag: str, close_tag: str) -> None:
    with pytest.raises(ValueError, match="tag"):
        ThinkSplitter(open_tag, close_tag, starts_in_thinking=False)


def feed_tokens(splitter: TokenSplitter, tokens: list[tuple[int, str]]) -> list[Piece]:
    return [piece for token_id, text in tokens for piece in splitter.feed(token_id, text)]


def test_tag_spelled_in_ordinary_tokens_stays_text() -> None:
    splitter = TokenSplitter(OPEN_ID, CLOSE_ID, starts_in_thinking=True)
    tokens = [(1, "The tag "), (2, "</"), (3, "think>"), (4, " is text."), (CLOSE_ID, "</think>")]

    pieces = feed_tokens(splitter, [*tokens, (5, "Right.")]) + splitter.finish()

    assert stream(pieces, "thinking") == "The tag </think> is text."
    assert stream(pieces, "answer") == "Right."
    assert splitter.closed


def test_closing_token_without_text_closes() -> None:
    splitter = TokenSplitter(OPEN_ID, CLOSE_ID, starts_in_thinking=True)

    pieces = feed_tokens(splitter, [(1, "Done thinking"), (CLOSE_ID, ""), (1, "Answer")])

    assert pieces == [("thinking", "Done thinking"), ("answer", "Answer")]


def test_opening_token_is_a_tag_only_at_the_beginning() -> None:
    splitter = TokenSplitter(OPEN_ID, CLOSE_ID, starts_in_thinking=False)
    opening = (OPEN_ID, "<think>")

    pieces = feed_tokens(splitter, [(1, "\n"), opening, opening, (1, "a"), (CLOSE_ID, ""), opening])

    assert stream(pieces, "thinking") == "<think>a"
    assert stream(pieces, "answer") == "\n<think>"


def test_opening_token_repeated_after_an_opening_in_the_prompt_is_dropped_once() -> None:
    splitter = TokenSplitter(OPEN_ID, CLOSE_ID, starts_in_thinking=True)

    pieces = feed_tokens(splitter, [(OPEN_ID, "<think>"), (1, "Four legs."), (CLOSE_ID, "")])

    assert pieces == [("thinking", "Four legs.")]


def test_closing_token_of_a_reply_that_never_opened_is_text() -> None:
    splitter = TokenSplitter(OPEN_ID, CLOSE_ID, starts_in_thinking=False)

    assert feed_tokens(splitter, [(CLOSE_ID, "</think>"), (1, "elm")]) == [
        ("answer", "</think>"),
        ("answer", "elm"),
    ]
    assert not splitter.closed
