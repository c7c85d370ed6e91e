"""A conversation that is stopped, or whose engine fails: what is shown, and what is remembered."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from backends.errors import LlamaMissingError
from localr1.chat.session import ChatSession
from localr1.errors import ContextOverflowError, EngineDiedError, ModelNotFoundError
from localr1.events import (
    Answer,
    End,
    EndState,
    Error,
    Event,
    Load,
    Progress,
    Prompt,
    Thinking,
)
from quant.errors import QuantError
from tests.support.fake_conversation import Gate
from tests.support.fake_engine import FakeEngine, FakeOpener, Script, a_report
from tests.support.sessions import GOOD, NOW, a_session, fold
from tests.support.templates import InlineRenderer

PREFIX = "<|begin|>"
TAIL = "<|assistant|><think>\n"


def test_stop_inside_thinking_is_a_cut_off_and_stays_in_the_history() -> None:
    engine = FakeEngine([GOOD])
    session = a_session(engine)
    events = []
    for event in session.ask("one"):
        events.append(event)
        if isinstance(event, Thinking):
            session.stop()

    list(session.ask("two"))

    assert fold(events).state is EndState.CUT_OFF
    assert sum(isinstance(event, Thinking) for event in events) == 1
    assert engine.prompts[1] == f"{PREFIX}<|user|>one<|assistant|><|end|><|user|>two{TAIL}"


def test_stopped_answer_stays_in_the_history_as_far_as_it_was_shown() -> None:
    engine = FakeEngine([Script.of("t", "</think>", "one", " two", " three")])
    session = a_session(engine)
    events = []
    for event in session.ask("x"):
        events.append(event)
        if isinstance(event, Answer) and event.text == " two":
            session.stop()

    list(session.ask("y"))

    assert fold(events).state is EndState.CANCELLED
    assert "<|assistant|>one two<|end|>" in engine.prompts[1]


def in_thread(events: Iterator[Event]) -> tuple[threading.Thread, list[Event]]:
    collected: list[Event] = []
    thread = threading.Thread(target=lambda: collected.extend(events))
    thread.start()
    return thread, collected


def test_stop_while_the_prompt_is_read_leaves_no_trace() -> None:
    gate = Gate()
    engine = FakeEngine([Script(tokens=("a",), prefill_gate=gate), GOOD])
    session = a_session(engine)
    thread, events = in_thread(session.ask("one"))
    assert gate.reached.wait(timeout=30)

    session.stop()
    thread.join(timeout=30)
    list(session.ask("two"))

    assert fold(events).state is EndState.CANCELLED
    assert not any(isinstance(event, Prompt) for event in events)
    assert engine.prompts[1] == f"{PREFIX}<|user|>two{TAIL}"


def test_stop_while_loading_abandons_the_load() -> None:
    gate = Gate()
    opener = FakeOpener(FakeEngine([GOOD]), gate=gate)
    session = a_session(opener=opener)
    thread, events = in_thread(session.ask("one"))
    assert gate.reached.wait(timeout=30)

    session.stop()
    gate.open()
    thread.join(timeout=30)

    assert fold(events).state is EndState.CANCELLED
    assert opener.is_abandoned
    assert fold(session.ask("one")).state is EndState.ANSWERED


def test_engine_that_dies_is_reopened_by_the_next_question_without_the_failed_turn() -> None:
    died = EngineDiedError("the engine was ended by SIGKILL", hint="see its log")
    broken = FakeEngine([GOOD, Script(tokens=("half a thou",), error=died)])
    fresh = FakeEngine([GOOD])
    session = a_session(broken, fresh)
    list(session.ask("one"))

    failed = fold(session.ask("two"))
    again = list(session.ask("two"))

    assert failed.state is EndState.FAILED
    assert str(failed.thinking) == "half a thou"
    assert failed.error is not None
    assert (failed.error.code, failed.error.hint) == ("engine_died", "see its log")
    assert broken.is_closed
    assert isinstance(again[0], Progress)
    assert any(isinstance(event, Load) for event in again)
    assert fold(again).state is EndState.ANSWERED
    assert fresh.prompts == [f"{PREFIX}<|user|>one<|assistant|>\n\n36<|end|><|user|>two{TAIL}"]


def test_engine_that_died_between_two_questions_is_reopened_at_once() -> None:
    first, second = FakeEngine([GOOD]), FakeEngine([GOOD])
    session = a_session(first, second)
    list(session.ask("one"))
    first.is_closed = True

    turn = fold(session.ask("two"))

    assert [notice.code for notice in turn.notices] == ["engine_restarted"]
    assert turn.state is EndState.ANSWERED
    assert "one" in second.prompts[0]


def test_text_held_back_when_the_engine_dies_is_shown() -> None:
    died = EngineDiedError("gone")
    report = a_report({"<|begin|>": 1})
    engine = FakeEngine([Script(tokens=("hm </thi",), error=died)], special_tokens={})

    turn = fold(a_session(opener=FakeOpener(engine, report=report)).ask("x"))

    assert str(turn.thinking) == "hm </thi"


def test_overflow_is_an_error_that_changes_nothing() -> None:
    engine = FakeEngine([GOOD, Script(error=ContextOverflowError(5000, 4096)), GOOD])
    opener = FakeOpener(engine)
    session = a_session(opener=opener)
    list(session.ask("one"))

    turn = fold(session.ask("a very long text"))
    list(session.ask("two"))

    assert turn.error is not None
    assert turn.error.code == "context_overflow"
    assert turn.state is EndState.FAILED
    assert opener.n_calls == 1
    assert "long text" not in engine.prompts[2]


@pytest.mark.parametrize(
    "error",
    [
        ModelNotFoundError("there is no model x"),
        LlamaMissingError("llama-cpp-python is not installed"),
        QuantError("the checkpoint lacks a shard"),
    ],
    ids=["localr1", "backends", "quant"],
)
def test_opening_that_fails_is_an_error_and_an_end(error: Exception) -> None:
    session = a_session(opener=FakeOpener(FakeEngine([GOOD]), error=error))

    *_, failed, end = session.open()

    assert isinstance(failed, Error)
    assert failed.message == str(error)
    assert isinstance(end, End)
    assert end.state is EndState.FAILED


def test_leaving_a_reply_cancels_it() -> None:
    gate = Gate()
    engine = FakeEngine([Script.of("a", gate, "b")])
    events = a_session(engine).ask("x")
    for event in events:
        if isinstance(event, Thinking):
            break

    events.close()  # type: ignore[attr-defined] # a generator, though only promised as an iterator

    assert engine.n_abandoned == 1


def test_close_ends_engine_and_renderer() -> None:
    engine = FakeEngine([GOOD])
    renderer = InlineRenderer()
    session = ChatSession(FakeOpener(engine), renderer=renderer, now=lambda: NOW)
    list(session.open())

    session.close()

    assert engine.is_closed
    assert renderer.is_closed


def test_closing_while_loading_leaves_no_engine_behind() -> None:
    gate = Gate()
    engine = FakeEngine([GOOD])
    session = a_session(opener=FakeOpener(engine, gate=gate))
    thread, events = in_thread(session.open())
    assert gate.reached.wait(timeout=30)

    session.close()
    gate.open()
    thread.join(timeout=30)

    assert fold(events).state is EndState.CANCELLED
    assert engine.requests == []
    assert fold(session.ask("x")).state is EndState.CANCELLED


def test_engine_closed_under_a_reply_is_no_error() -> None:
    gone = EngineDiedError("the engine has been closed")
    session = a_session(FakeEngine([Script(tokens=("a", "b"), error=gone)]))
    events = []

    for event in session.ask("x"):
        events.append(event)
        if isinstance(event, Thinking):
            session.close()

    assert fold(events).error is None
    assert not fold(events).is_running
