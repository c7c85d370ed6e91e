"""Replies as the session tells them: the same two texts however the model cut its tokens."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from localr1.chat.reply import Reply
from localr1.chat.splitters import make_splitter
from localr1.chat.stop import StopMatcher
from localr1.chat.thinking_format import ThinkingFormat
from localr1.events import Answer, End, Event, Phase, PhaseName, Stats, Thinking
from localr1.worker.frames import GenerationEnd, GenerationFrame, PrefillProgress, TokenPiece

THINK = ThinkingFormat("<think>", "</think>")
STOP = "STOP"
PIECES = st.sampled_from(["</think>", "</thi", "<think>", "STOP", "ST", "\n", " ", "a", "b"])


@st.composite
def token_streams(draw: st.DrawFn) -> list[str]:
    text = "".join(draw(st.lists(PIECES, max_size=10)))
    cuts = sorted(draw(st.sets(st.integers(0, len(text)))))
    return [text[a:b] for a, b in itertools.pairwise([0, *cuts, len(text)])]


def tell(tokens: list[str], *, starts_in_thinking: bool) -> list[Event]:
    splitter = make_splitter(THINK, {}, starts_in_thinking=starts_in_thinking)
    ticks = itertools.count()
    reply = Reply(splitter, StopMatcher([STOP]), lambda: float(next(ticks)))
    frames: list[GenerationFrame] = [
        PrefillProgress(n_done=3, n_total=3, n_cached=0),
        *(TokenPiece(id=1, text=token) for token in tokens),
        GenerationEnd(
            reason="eog",
            text="",
            n_prompt=3,
            n_cached=0,
            n_generated=len(tokens),
            prefill_s=0.0,
            decode_s=0.0,
            n_ctx_used=3 + len(tokens),
            resident_bytes=0,
        ),
    ]
    return [event for frame in frames for event in reply.feed(frame)]


def expected(text: str, *, starts_in_thinking: bool) -> tuple[str, str]:
    """Thought and answer of the whole text; the stop string ends the answer only."""
    body = text.lstrip()
    blanks = text[: len(text) - len(body)]
    opens = body.startswith("<think>")
    if opens:
        body = body.removeprefix("<think>")
    if starts_in_thinking:
        thought, _, answer = (blanks + body).partition("</think>")
    elif opens:
        thought, _, answer = body.partition("</think>")
        answer = blanks + answer
    else:
        thought, answer = "", text
    return thought, answer.partition(STOP)[0]


@given(token_streams(), st.booleans())
def test_texts_are_those_of_the_whole_reply(tokens: list[str], starts: bool) -> None:
    events = tell(tokens, starts_in_thinking=starts)

    thought = "".join(event.text for event in events if isinstance(event, Thinking))
    answer = "".join(event.text for event in events if isinstance(event, Answer))
    assert (thought, answer) == expected("".join(tokens), starts_in_thinking=starts)


@given(token_streams(), st.booleans())
def test_text_comes_only_inside_its_phase_and_each_phase_is_counted_once(
    tokens: list[str], starts: bool
) -> None:
    phase: PhaseName | None = None
    counted: list[PhaseName] = []
    events = tell(tokens, starts_in_thinking=starts)

    for event in events:
        if isinstance(event, Phase):
            phase = event.phase
        elif isinstance(event, Thinking):
            assert phase is PhaseName.THINKING
        elif isinstance(event, Answer):
            assert phase is PhaseName.ANSWER
        elif isinstance(event, Stats):
            counted.append(event.phase)

    assert len(counted) == len(set(counted))
    assert isinstance(events[-1], End)
    assert isinstance(events[-2], Stats)
    assert events[-2].n_ctx_used is not None
