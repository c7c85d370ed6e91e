"""A whole conversation over a scripted engine: events, history, statistics, how it ends."""

from __future__ import annotations

import pytest

from localr1.chat.session import SessionOptions
from localr1.events import (
    End,
    EndState,
    Event,
    Load,
    Notice,
    Phase,
    PhaseName,
    Progress,
    Stats,
    Thinking,
)
from localr1.worker.frames import GenerationFrame
from tests.support.fake_engine import FakeEngine, FakeOpener, Script, a_report
from tests.support.sessions import GOOD, a_session, fold

PREFIX = "<|begin|>"
TAIL = "<|assistant|><think>\n"


def test_good_reply_streams_thinking_then_answer_then_one_end() -> None:
    engine = FakeEngine([GOOD])

    events = list(a_session(engine).ask("What is 12 + 8 * 3?"))

    assert [type(e).__name__ for e in events if not isinstance(e, Progress)] == [
        "Load",
        "Prompt",
        "Stats",
        "Phase",
        "Thinking",
        "Thinking",
        "Stats",
        "Phase",
        "Answer",
        "Answer",
        "Stats",
        "End",
    ]
    turn = fold(events)
    assert (str(turn.thinking), str(turn.answer)) == ("8 * 3 = 24", "\n\n36")
    assert turn.state is EndState.ANSWERED
    assert engine.prompts == [f"{PREFIX}<|user|>What is 12 + 8 * 3?{TAIL}"]


def test_every_event_carries_the_time_since_its_request_began() -> None:
    times = [event.t for event in a_session(FakeEngine([GOOD])).ask("x")]

    assert times == sorted(times)
    assert times[0] > 0


def test_statistics_count_tags_as_thinking_and_the_last_one_has_the_totals() -> None:
    turn = fold(a_session(FakeEngine([GOOD])).ask("x"))

    prompt, thinking, answer = turn.stats
    assert (prompt.phase, prompt.n_tokens) == (PhaseName.PROMPT, 10)
    assert (thinking.phase, thinking.n_tokens) == (PhaseName.THINKING, 3)
    assert (answer.phase, answer.n_tokens) == (PhaseName.ANSWER, 2)
    assert thinking.tokens_per_s == pytest.approx(10)  # the fake decodes ten tokens a second
    assert answer.tokens_per_s == pytest.approx(10)
    assert answer.n_ctx_used == 15
    assert answer.memory_bytes == 10**9
    assert answer.time_to_first_token_s is not None


def test_prompt_event_says_what_was_cached() -> None:
    engine = FakeEngine([Script(tokens=("a",), n_prompt=20, n_cached=16)])

    turn = fold(a_session(engine).ask("x"))

    assert turn.prompt is not None
    assert (turn.prompt.n_tokens, turn.prompt.n_cached) == (20, 16)
    assert turn.stats[0].n_tokens == 4


def test_second_question_carries_the_first_answer_without_its_thought() -> None:
    engine = FakeEngine([GOOD])
    session = a_session(engine)
    list(session.ask("one"))

    list(session.ask("two"))

    assert engine.prompts[1] == (f"{PREFIX}<|user|>one<|assistant|>\n\n36<|end|><|user|>two{TAIL}")


def test_end_need_not_be_consumed_past_for_the_history_to_be_kept() -> None:
    engine = FakeEngine([GOOD])
    session = a_session(engine)
    for event in session.ask("one"):
        if isinstance(event, End):
            break

    list(session.ask("two"))

    assert "one" in engine.prompts[1]


def test_clear_forgets_the_history_but_not_the_engine() -> None:
    engine = FakeEngine([GOOD])
    opener = FakeOpener(engine)
    session = a_session(opener=opener)
    list(session.ask("one"))

    session.clear()
    list(session.ask("two"))

    assert engine.prompts[1] == f"{PREFIX}<|user|>two{TAIL}"
    assert opener.n_calls == 1


def test_reply_running_while_the_history_is_cleared_does_not_enter_the_new_one() -> None:
    engine = FakeEngine([GOOD])
    session = a_session(engine)
    for event in session.ask("one"):
        if isinstance(event, Thinking):
            session.clear()

    list(session.ask("two"))

    assert "one" not in engine.prompts[1]


@pytest.mark.parametrize(
    ("script", "state", "reason"),
    [
        (GOOD, EndState.ANSWERED, "eog"),
        (Script.of("hm"), EndState.CUT_OFF, "eog"),
        (Script(tokens=("hm",), reason="context"), EndState.CUT_OFF, "context"),
        (Script(tokens=("hm", "</think>", "a"), reason="context"), EndState.ANSWERED, "context"),
        (Script.of("</think>"), EndState.ANSWERED, "eog"),
        (Script.of(), EndState.CUT_OFF, "eog"),
    ],
    ids=["answered", "unclosed", "context", "long answer", "empty answer", "nothing"],
)
def test_end_state_says_how_the_thought_ended(script: Script, state: EndState, reason: str) -> None:
    end = fold(a_session(FakeEngine([script])).ask("x")).end

    assert end is not None
    assert (end.state, end.reason) == (state, reason)


def test_length_limit_inside_thinking_is_a_cut_off() -> None:
    session = a_session(FakeEngine([GOOD]), options=SessionOptions(max_tokens=2))

    turn = fold(session.ask("x"))

    assert turn.end is not None
    assert (turn.end.state, turn.end.reason) == (EndState.CUT_OFF, "length")


def test_model_without_a_thinking_format_never_opens() -> None:
    report = a_report({"<|im_start|>": 1, "<|im_end|>": 2})
    opener = FakeOpener(
        FakeEngine([Script.of("<think>", "plain")], special_tokens={}),
        template="{% for m in messages %}{{ m.content }}{% endfor %}",
        report=report,
    )

    turn = fold(a_session(opener=opener).ask("x"))

    assert (turn.state, str(turn.answer)) == (EndState.NEVER_OPENED, "<think>plain")


def test_blanks_before_the_opening_tag_wait_for_the_answer() -> None:
    template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    script = Script.of("\n", "<think>", "Cold.", "</think>", "Yes.")
    opener = FakeOpener(FakeEngine([script]), template=template)

    events = list(a_session(opener=opener).ask("x"))

    phases = [event.phase for event in events if isinstance(event, Phase)]
    assert phases == [PhaseName.THINKING, PhaseName.ANSWER]
    turn = fold(events)
    assert (str(turn.thinking), str(turn.answer)) == ("Cold.", "\nYes.")


def test_reply_of_blanks_alone_is_not_lost() -> None:
    template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    opener = FakeOpener(FakeEngine([Script.of("\n", " ")]), template=template)

    turn = fold(a_session(opener=opener).ask("x"))

    assert str(turn.answer) == "\n "
    assert turn.state is EndState.NEVER_OPENED


def test_incomplete_character_at_the_end_is_shown_as_one() -> None:
    engine = FakeEngine([Script(tokens=("</think>", "a"), held="\ufffd")])

    assert str(fold(a_session(engine).ask("x")).answer) == "a\ufffd"


def test_escape_sequences_are_made_visible_but_stay_in_the_history_as_written() -> None:
    engine = FakeEngine([Script.of("\x1b", "[2J", "</think>", "\x1b]52;c;eA==\x07")])
    session = a_session(engine)

    turn = fold(session.ask("x"))
    list(session.ask("y"))

    assert (str(turn.thinking), str(turn.answer)) == ("␛[2J", "␛]52;c;eA==␇")
    assert "\x1b]52;c;eA==\x07" in engine.prompts[1]


def test_stop_string_ends_the_answer_and_is_not_shown() -> None:
    engine = FakeEngine([Script.of("a STOP b", "</think>", "one ST", "OP two", " three")])
    session = a_session(engine, options=SessionOptions(stop=("STOP",)))

    turn = fold(session.ask("x"))

    assert (str(turn.thinking), str(turn.answer)) == ("a STOP b", "one ")
    assert turn.end is not None
    assert (turn.end.state, turn.end.reason) == (EndState.ANSWERED, "stop")
    assert engine.n_cancels == 1


def test_opening_twice_loads_once_and_says_so_to_the_next_skin() -> None:
    opener = FakeOpener(FakeEngine([GOOD]))
    session = a_session(opener=opener)

    first, second = list(session.open()), list(session.open())

    assert isinstance(first[-1], Load)
    assert [type(event) for event in second] == [Load]
    assert opener.n_calls == 1
    assert session.title == "fake-1b"


def test_missing_template_is_noticed_once() -> None:
    opener = FakeOpener(FakeEngine([GOOD]), template=None)
    session = a_session(opener=opener)

    first, second = fold(session.ask("x")), fold(session.ask("y"))

    assert [notice.code for notice in first.notices] == ["template_missing"]
    assert second.notices == ()


def test_plain_dialogue_ends_where_the_model_would_speak_for_the_user() -> None:
    engine = FakeEngine([Script.of(" Hi", ".\n", "\n", "User", ": What")])
    opener = FakeOpener(engine, template=None, report=a_report({"</s>": 2}))

    turn = fold(a_session(opener=opener).ask("x"))

    assert str(turn.answer) == " Hi.\n"


def test_sampling_is_merged_from_user_and_model() -> None:
    engine = FakeEngine([GOOD])
    opener = FakeOpener(engine, sampling_defaults={"temp": 0.9, "top_k": 7})
    options = SessionOptions(sampling={"temperature": 0.1}, max_tokens=99)

    list(a_session(opener=opener, options=options).ask("x"))

    (request,) = engine.requests
    assert (request.sampling.temperature, request.sampling.top_k) == (0.1, 7)
    assert request.max_tokens == 99


def test_notice_and_statistics_types_are_those_of_the_event_stream() -> None:
    events = list(a_session(opener=FakeOpener(FakeEngine([GOOD]), template="{% broken")).ask("x"))

    notices = [event for event in events if isinstance(event, Notice)]
    assert [notice.code for notice in notices] == ["template_refused"]
    assert all(isinstance(event, Event) for event in events)
    assert any(isinstance(event, Stats) for event in events)


def test_what_the_watch_sees_is_told_within_the_reply_and_before_its_end() -> None:
    def watch(frame: GenerationFrame) -> list[Notice]:
        return [Notice(code="memory_pressure", message=type(frame).__name__)]

    opener = FakeOpener(FakeEngine([GOOD]), watch=watch)

    events = list(a_session(opener=opener).ask("x"))

    told = [event.message for event in events if isinstance(event, Notice)]
    assert told == ["PrefillProgress"] * 3 + ["TokenPiece"] * 5 + ["GenerationEnd"]
    assert isinstance(events[-1], End)
    assert all(event.t > 0 for event in events)
