"""An engine that ends by itself: who hears of it, and how often."""

from __future__ import annotations

import pytest

from localr1.errors import EngineDiedError
from localr1.events import Answer, End, EndState, Error, Event, Load
from tests.support.fake_engine import FakeEngine, Script
from tests.support.sessions import GOOD, a_session, fold


def test_engine_that_ends_between_replies_is_told_at_once() -> None:
    engine = FakeEngine([GOOD])
    session = a_session(engine, FakeEngine([GOOD]))
    told: list[Event] = []
    session.listen(told.append)
    list(session.ask("one"))

    engine.end("the engine was ended by SIGKILL")

    (error,) = told
    assert isinstance(error, Error)
    assert (error.code, error.message) == ("engine_died", "the engine was ended by SIGKILL")
    assert error.hint == "the next question starts it again"
    assert fold(session.ask("two")).state is EndState.ANSWERED


@pytest.mark.parametrize("is_noticed", [True, False], ids=["by the reply", "by nobody else"])
def test_end_in_a_reply_is_told_once(*, is_noticed: bool) -> None:
    message = "the engine was ended by SIGABRT"
    error = EngineDiedError(message) if is_noticed else None
    engine = FakeEngine([Script(tokens=("t", "</think>", "a"), error=error)])
    session = a_session(engine)
    told: list[Event] = []
    session.listen(told.append)

    events: list[Event] = []
    for event in session.ask("one"):
        events.append(event)
        if isinstance(event, Answer):
            engine.end(message)
            assert told == []

    in_reply = [event.message for event in events if isinstance(event, Error)]
    between = [event.message for event in told if isinstance(event, Error)]
    assert (in_reply, between) == (([message], []) if is_noticed else ([], [message]))
    assert sum(isinstance(event, End) for event in events) == 1


def test_end_of_an_engine_that_is_out_of_use_is_no_news() -> None:
    first, second = FakeEngine([GOOD]), FakeEngine([GOOD])
    session = a_session(first, second)
    told: list[Event] = []
    session.listen(told.append)
    list(session.ask("one"))
    first.is_closed = True
    events = list(session.ask("two"))

    first.end("late")
    session.close()
    second.end("closed")

    assert any(isinstance(event, Load) for event in events)
    assert told == []
