"""No spelling of a control token survives in text that may name special tokens."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from localr1.chat.forgery import Spellings, choose_marks, cut_at_marks

TAGS = ["<|im_end|>", "<|im_start|>", "<think>", "</think>", "<s>", "</s>"]
TOKENS = [*TAGS, "aa", "aba", "<a<", "[X"]
FRAGMENTS = st.one_of(
    st.sampled_from([*TOKENS, "<", "|", ">", "a", "b", "\ue000", "\ue001", "</", "think", "\n"]),
    st.text(max_size=3),
)
CONTENTS = st.lists(FRAGMENTS, max_size=10).map("".join)
TOKEN_SETS = st.sets(st.sampled_from(TOKENS))


@given(CONTENTS, TOKEN_SETS)
@example("<a<s>", {"<a<", "<s>"})
@example("\ue000<s>\ue001", {"<s>"})
@example("abaaba", {"aba", "aa"})
def test_forged_tokens_are_literal_and_the_text_is_whole(content: str, tokens: set[str]) -> None:
    marks = choose_marks([content])
    prompt = "<|T|>" + Spellings(tokens).mark(content, marks) + "<|T|>"

    segments = cut_at_marks(prompt, marks)

    assert "".join(segment.text for segment in segments) == f"<|T|>{content}<|T|>"
    for segment in segments:
        if segment.parse_special:
            assert not any(token in segment.text for token in tokens)
    # neighbours are tokenised apart, so nothing forms across them; a literal one holds at least
    # one character less than the token it was cut from
    literal = [segment.text for segment in segments if not segment.parse_special]
    assert all(any(token.endswith(text) and token != text for token in tokens) for text in literal)


@given(CONTENTS)
def test_text_without_control_tokens_is_left_in_one_piece(content: str) -> None:
    marks = choose_marks([content])
    marked = Spellings(["<|never|>"]).mark(content, marks)

    assert marked == content
    assert [s.text for s in cut_at_marks(marked, marks)] == ([content] if content else [])


@given(st.lists(st.text(st.characters(min_codepoint=0xDFF0, max_codepoint=0xF910, codec=None))))
def test_marks_occur_in_no_text(texts: list[str]) -> None:
    first, second = choose_marks(texts)

    assert first != second
    assert not any(mark in text for mark in (first, second) for text in texts)


@given(CONTENTS, st.integers(0, 60), st.integers(0, 60))
def test_template_that_slices_a_marked_text_leaks_no_mark(content: str, a: int, b: int) -> None:
    marks = choose_marks([content])
    prompt = Spellings(TOKENS).mark(content, marks)[a:b]

    text = "".join(segment.text for segment in cut_at_marks(prompt, marks))

    assert not set(marks) & set(text)
