"""The choice of a splitter, and the cases that need more than a pair of tags."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from localr1.chat.harmony import MARKERS
from localr1.chat.reasoning import Piece
from localr1.chat.splitters import PieceSplitter, make_splitter
from localr1.chat.thinking_format import HARMONY, detect_format

GOLDEN = Path(__file__).parents[2] / "golden" / "split_decisions.jsonl"
CASES = {
    case["id"]: case for case in map(json.loads, GOLDEN.read_text(encoding="utf-8").splitlines())
}
HARMONY_IDS = {marker: 200_000 + n for n, marker in enumerate(sorted(MARKERS))}
THINK_IDS = {"<think>": 5, "</think>": 6}


def run(splitter: PieceSplitter, tokens: list[tuple[int, str]]) -> list[str]:
    """Thinking and answer."""
    pieces: list[Piece] = []
    for token_id, text in tokens:
        pieces += splitter.feed(token_id, text)
    pieces += splitter.finish()
    return ["".join(t for s, t in pieces if s == name) for name in ("thinking", "answer")]


def harmony_tokens(text: str) -> list[tuple[int, str]]:
    """The text as gpt-oss would write it: markers are single tokens, the rest is not."""
    marker = "|".join(map(re.escape, MARKERS))
    parts = re.split(f"({marker})", text)
    return [(HARMONY_IDS.get(part, 1), part) for part in parts if part]


@pytest.mark.parametrize("case_id", [name for name in CASES if name.startswith("har-")])
def test_channels_are_split_by_their_headers(case_id: str) -> None:
    case: dict[str, Any] = CASES[case_id]
    splitter = make_splitter(HARMONY, HARMONY_IDS, starts_in_thinking=False)

    assert run(splitter, harmony_tokens("".join(case["chunks"]))) == case["recommended"]


def test_marker_spelled_in_ordinary_tokens_stays_text() -> None:
    splitter = make_splitter(HARMONY, HARMONY_IDS, starts_in_thinking=False)
    tokens = [*harmony_tokens("<|channel|>analysis<|message|>"), (1, "the <|end|> tag")]

    assert run(splitter, tokens) == ["the <|end|> tag", ""]
    assert splitter.is_thinking
    assert not splitter.closed


def test_channel_without_any_marker_is_an_answer() -> None:
    splitter = make_splitter(HARMONY, HARMONY_IDS, starts_in_thinking=False)

    assert run(splitter, [(1, "Lima.")]) == ["", "Lima."]
    assert not splitter.opened


@pytest.mark.parametrize("case_id", ["tok-01", "tok-02"])
def test_tags_that_are_tokens_are_compared_by_id(case_id: str) -> None:
    case: dict[str, Any] = CASES[case_id]
    known = detect_format("</think>", "", {})
    splitter = make_splitter(known, THINK_IDS, starts_in_thinking=case["starts_in_thinking"])
    tokens = [(1, chunk) for chunk in case["chunks"]]
    closing = 3 if case_id == "tok-01" else 1
    tokens[closing] = (THINK_IDS["</think>"], tokens[closing][1])

    assert run(splitter, tokens) == case["recommended"]


def test_tags_that_are_not_tokens_are_compared_by_text() -> None:
    known = detect_format("</think>", "", {})
    splitter = make_splitter(known, {"<think>": 5}, starts_in_thinking=True)

    assert run(splitter, [(1, "oak</th"), (1, "ink>elm")]) == ["oak", "elm"]
    assert splitter.closed


def test_frame_around_the_answer_is_dropped() -> None:
    case: dict[str, Any] = CASES["gra-03"]
    known = detect_format("<think></think> and <response></response>", "", {})
    letters = [(1, letter) for letter in "".join(case["chunks"])]

    for tokens in (letters, [(1, chunk) for chunk in case["chunks"]]):
        splitter = make_splitter(known, {}, starts_in_thinking=False)
        assert run(splitter, tokens) == case["recommended"]


def test_unfinished_frame_loses_no_text() -> None:
    known = detect_format("<think></think> and <response></response>", "", {})
    splitter = make_splitter(known, THINK_IDS, starts_in_thinking=True)

    assert run(splitter, [(1, "oak"), (6, ""), (1, "<resp")]) == ["oak", "<resp"]


def test_without_a_format_everything_is_answer() -> None:
    splitter = make_splitter(None, THINK_IDS, starts_in_thinking=False)

    assert run(splitter, [(5, "<think>"), (1, "x"), (1, "")]) == ["", "<think>x"]
    assert (splitter.opened, splitter.closed, splitter.is_thinking) == (False, False, False)
