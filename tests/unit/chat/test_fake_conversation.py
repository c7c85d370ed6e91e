"""The scripted conversation keeps the promises of the real one."""

from __future__ import annotations

import threading

from localr1.chat.conversation import Conversation
from localr1.events import Answer, End, EndState, Event, Thinking
from tests.support.fake_conversation import FakeConversation, Gate, failure, reply


def collect(talk: Conversation, text: str) -> list[Event]:
    return list(talk.ask(text))


def test_script_is_played_turn_by_turn_and_repeats_its_last() -> None:
    talk = FakeConversation([reply(thinking="hm well", answer="36"), failure()])

    first, second, third = (collect(talk, text) for text in ("a", "b", "c"))

    assert "".join(e.text for e in first if isinstance(e, Thinking)) == "hm well"
    assert first[-1] == End(state=EndState.ANSWERED, reason="eog")
    assert second == third
    assert talk.asked == ["a", "b", "c"]


def test_stop_releases_a_gate_and_cancels_the_answer() -> None:
    gate = Gate()
    talk = FakeConversation([[Answer(text="one"), gate, Answer(text="two")]])
    events: list[Event] = []
    thread = threading.Thread(target=lambda: events.extend(talk.ask("x")))
    thread.start()
    assert gate.reached.wait(timeout=30)

    talk.stop()
    thread.join(timeout=30)

    assert events == [Answer(text="one"), End(state=EndState.CANCELLED, reason="cancelled")]


def test_stop_inside_thinking_is_a_cut_off() -> None:
    talk = FakeConversation([reply(thinking="a b c", answer="d")])
    events: list[Event] = []

    for event in talk.ask("x"):
        events.append(event)
        if isinstance(event, Thinking):
            talk.stop()

    assert events[-1] == End(state=EndState.CUT_OFF, reason="cancelled")
    assert sum(isinstance(event, Thinking) for event in events) == 1


def test_opened_gate_lets_the_reply_finish() -> None:
    gate = Gate()
    gate.open()
    talk = FakeConversation([reply(thinking="t", answer="a", gate_before_answer=gate)])

    assert collect(talk, "x")[-1] == End(state=EndState.ANSWERED, reason="eog")
