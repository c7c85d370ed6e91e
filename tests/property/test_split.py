"""The splitter's contract over all texts, tags and chunkings, against a whole-text oracle."""

from __future__ import annotations

import itertools
import re

from hypothesis import example, given
from hypothesis import strategies as st

from localr1.chat.reasoning import Piece, ThinkSplitter

PAIRS = st.sampled_from(
    [
        ("<think>", "</think>"),
        ("[THINK]", "[/THINK]"),
        ("◁think▷", "◁/think▷"),
        ("<|channel>thought\n", "<channel|>"),
        ("aab", "aaab"),  # overlaps with itself: a failed match may hide the real one
        ("abab", "baba"),
        ("x", "y"),
    ]
)


@st.composite
def replies(draw: st.DrawFn) -> tuple[str, str, bool, list[str]]:
    """A pair of tags, and a reply made of tags, their fragments and text, cut anywhere."""
    open_tag, close_tag = draw(PAIRS)
    fragments = [tag[i:j] for tag in (open_tag, close_tag) for i, j in ((0, -1), (0, 2), (1, None))]
    word = st.one_of(
        st.sampled_from([open_tag, close_tag, *fragments, "\n", " ", "　", "<", "/", "a", "b"]),
        st.text(max_size=4),
    )
    text = "".join(draw(st.lists(word, max_size=12)))
    cuts = sorted(draw(st.sets(st.integers(0, len(text)))))
    edges = [0, *cuts, len(text)]
    chunks = [text[a:b] for a, b in itertools.pairwise(edges)]
    return open_tag, close_tag, draw(st.booleans()), chunks


def oracle(
    text: str, open_tag: str, close_tag: str, *, starts_in_thinking: bool
) -> tuple[str, str, bool]:
    """Thinking, answer and closed, by one regular expression over the finished text."""
    lead = re.match(rf"(\s*){re.escape(open_tag)}", text)
    blanks, body = (lead[1], text[lead.end() :]) if lead else ("", text)
    if not lead and not starts_in_thinking:
        return "", text, False
    thought, tag, answer = body.partition(close_tag)
    if starts_in_thinking:
        return blanks + thought, answer, bool(tag)
    return thought, blanks + answer, bool(tag)


def run(splitter: ThinkSplitter, chunks: list[str]) -> tuple[list[Piece], int]:
    """All pieces, and the most characters ever held back."""
    pieces: list[Piece] = []
    held = 0
    for chunk in chunks:
        pieces += splitter.feed(chunk)
        held = max(held, len(splitter._held))
    return pieces + splitter.finish(), held


@given(replies())
@example(("aab", "aaab", True, ["aaa", "ab", "c"]))
@example(("<think>", "</think>", True, ["\n<", "/think", ">x"]))
def test_streams_are_those_of_the_whole_text_however_it_was_cut(
    reply: tuple[str, str, bool, list[str]],
) -> None:
    open_tag, close_tag, starts, chunks = reply
    splitter = ThinkSplitter(open_tag, close_tag, starts)

    pieces, held = run(splitter, chunks)

    got = tuple("".join(t for s, t in pieces if s == name) for name in ("thinking", "answer"))
    expected = oracle("".join(chunks), open_tag, close_tag, starts_in_thinking=starts)
    assert (*got, splitter.closed) == expected
    assert held <= max(len(open_tag), len(close_tag)) - 1
    assert all(text for _, text in pieces)


@given(replies())
def test_every_character_but_the_two_tags_reaches_one_stream_in_order(
    reply: tuple[str, str, bool, list[str]],
) -> None:
    open_tag, close_tag, starts, chunks = reply
    splitter = ThinkSplitter(open_tag, close_tag, starts)

    pieces, _ = run(splitter, chunks)

    given_out = "".join(text for _, text in pieces)
    text = "".join(chunks)
    candidates = {text, text.replace(open_tag, "", 1)}
    candidates |= {
        base[:i] + base[i + len(close_tag) :]
        for base in set(candidates)
        for i in range(len(base))
        if base.startswith(close_tag, i)
    }
    assert given_out in candidates


@given(replies())
def test_nothing_is_taken_back_and_only_a_beginning_of_a_tag_is_delayed(
    reply: tuple[str, str, bool, list[str]],
) -> None:
    open_tag, close_tag, starts, chunks = reply
    splitter = ThinkSplitter(open_tag, close_tag, starts)

    for chunk in chunks:
        splitter.feed(chunk)

        held = splitter._held
        assert open_tag.startswith(held) or close_tag.startswith(held)
        assert held not in {open_tag, close_tag}
