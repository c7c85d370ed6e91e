"""The reducer: what a reply looks like while its events come in."""

from __future__ import annotations

import functools

from hypothesis import given
from hypothesis import strategies as st

from localr1.chat.reducer import Text, Turn, reduce
from localr1.events import (
    Answer,
    End,
    EndState,
    Error,
    Event,
    Notice,
    Phase,
    PhaseName,
    Progress,
    Prompt,
    Stats,
    Thinking,
)
from tests.support.fake_conversation import LOADED, failure, reply


def fold(events: list[Event], turn: Turn | None = None) -> Turn:
    return functools.reduce(reduce, events, turn or Turn())


def only_events(script: list[object]) -> list[Event]:
    return [item for item in script if isinstance(item, Event)]


def test_good_reply_ends_with_both_texts_their_counts_and_statistics() -> None:
    turn = fold(only_events([*LOADED, *reply(thinking="a b c", answer="d e")]))

    assert (str(turn.thinking), str(turn.answer)) == ("a b c", "d e")
    assert (turn.n_thinking_tokens, turn.n_answer_tokens) == (3, 2)
    assert turn.load == LOADED[-1]
    assert turn.prompt == Prompt(n_tokens=10, n_cached=0)
    thinking = turn.stats_of(PhaseName.THINKING)
    assert thinking is not None
    assert thinking.n_tokens == 3
    assert turn.stats_of(PhaseName.PROMPT) is None
    assert (turn.state, turn.is_running) == (EndState.ANSWERED, False)


def test_failure_keeps_the_text_so_far() -> None:
    turn = fold([Thinking(text="half a"), *only_events(list(failure()))])

    assert str(turn.thinking) == "half a"
    assert isinstance(turn.error, Error)
    assert turn.state is EndState.FAILED


def test_progress_lasts_until_the_phase_after_it() -> None:
    reading = Progress(stage="prompt", done=5, total=10, unit="tokens")
    turn = fold([reading])
    assert (turn.progress, turn.phase) == (reading, PhaseName.PROMPT)

    turn = reduce(turn, Phase(phase=PhaseName.THINKING))

    assert (turn.progress, turn.phase) == (None, PhaseName.THINKING)


def test_notices_and_statistics_pile_up_in_order() -> None:
    notices = [Notice(code="a", message="1"), Notice(code="b", message="2")]
    stats = Stats(phase=PhaseName.PROMPT, n_tokens=1, seconds=1, tokens_per_s=1)

    turn = fold([*notices, stats])

    assert turn.notices == tuple(notices)
    assert turn.stats == (stats,)


def test_unknown_event_changes_nothing() -> None:
    turn = fold([Answer(text="x")])

    assert reduce(turn, Event()) == turn


def test_display_drops_newlines_around_a_text_but_never_blanks() -> None:
    assert Text().append("\r\n\n    x = 1\n  \n").for_display == "    x = 1\n  "
    assert Text().append("　　春天到了。\n").for_display == "　　春天到了。"


def test_thought_of_nothing_but_blanks_is_no_thought() -> None:
    assert Text().append("\n").append(" \n").for_display == ""


@given(st.lists(st.text(max_size=3), max_size=8), st.data())
def test_every_version_of_a_text_stays_what_it_was(parts: list[str], data: st.DataObject) -> None:
    versions = [(Text(), "")]

    for part in parts:
        text, plain = data.draw(st.sampled_from(versions))
        versions.append((text.append(part), plain + part))

    assert [str(text) for text, _ in versions] == [plain for _, plain in versions]


def test_ten_thousand_pieces_share_one_list() -> None:
    turn = fold([Answer(text="x") for _ in range(10_000)])

    assert len(str(turn.answer)) == 10_000
    assert turn.answer._parts is reduce(turn, End(state=EndState.ANSWERED)).answer._parts
    grown = reduce(turn, Answer(text="y"))
    assert grown.answer._parts is turn.answer._parts
