"""Stop strings: where the answer ends, however it arrives."""

from __future__ import annotations

import itertools

from hypothesis import example, given
from hypothesis import strategies as st

from localr1.chat.stop import StopMatcher


def cut_before_stop(text: str, stops: list[str]) -> tuple[str, str]:
    """The oracle: grow the text by single characters until it ends with a stop string."""
    for end in range(len(text) + 1):
        hits = [stop for stop in stops if stop and text[:end].endswith(stop)]
        if hits:
            longest = max(hits, key=len)
            return text[: end - len(longest)], longest
    return text, ""


@given(
    st.text("abc", max_size=20),
    st.lists(st.text("abc", max_size=4), max_size=3),
    st.data(),
)
@example("aab", ["aab", "ab"], None)
def test_answer_is_cut_at_the_first_stop_however_it_arrives(
    text: str, stops: list[str], data: st.DataObject | None
) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text))))) if data else [1, 2]
    pieces = [text[a:b] for a, b in itertools.pairwise([0, *cuts, len(text)])]
    matcher = StopMatcher(stops)
    shown, longest = "", max(map(len, stops), default=0)

    for piece in pieces:
        shown += matcher.feed(piece)
        assert len(matcher._held) <= max(longest - 1, 0)
    shown += matcher.finish()

    assert (shown, matcher.matched) == cut_before_stop(text, stops)


def test_nothing_comes_after_a_match() -> None:
    matcher = StopMatcher(["END"])

    assert matcher.feed("a END b") == "a "
    assert matcher.feed("c") + matcher.finish() == ""


def test_without_stop_strings_nothing_is_held() -> None:
    matcher = StopMatcher(["", *()])

    assert matcher.feed("anything") == "anything"
    assert matcher.matched == ""
