"""What the keys and the events of a conversation do to the screen."""

from __future__ import annotations

import pytest

from localr1.events import (
    Answer,
    End,
    EndState,
    Error,
    Notice,
    Phase,
    PhaseName,
    Progress,
)
from tests.support.fake_conversation import LOADED, FakeConversation, Gate, Turn, failure, reply
from tests.support.tui_pilot import Driver, drive
from tui.widgets.status import Activity


def test_enter_sends_and_both_streams_appear() -> None:
    conversation = FakeConversation([reply(thinking="eight by three", answer="**36**")])

    async def scenario(driver: Driver) -> None:
        await driver.until_idle()
        await driver.press("h", "i", "enter")
        await driver.until(lambda: conversation.asked == ["hi"])
        await driver.until_idle()

        assert "eight by three" in driver.thinking_text
        assert "36" in driver.answer_text
        assert "*" not in driver.answer_text
        assert driver.chat.prompt.text == ""
        assert "ready" in driver.status_text

    drive(conversation, scenario)


@pytest.mark.parametrize("key", ["ctrl+j", "shift+enter"])
def test_line_break_key_breaks_the_line_and_sends_nothing(key: str) -> None:
    conversation = FakeConversation()

    async def scenario(driver: Driver) -> None:
        await driver.until_idle()
        await driver.press("a", key, "b")

        assert driver.chat.prompt.text == "a\nb"
        assert conversation.asked == []

    drive(conversation, scenario)


def test_blank_prompt_is_not_sent() -> None:
    conversation = FakeConversation()

    async def scenario(driver: Driver) -> None:
        await driver.until_idle()
        await driver.press("space", "enter")

        assert conversation.asked == []

    drive(conversation, scenario)


def test_text_appears_while_the_reply_is_still_running() -> None:
    gate = Gate()
    conversation = FakeConversation(
        [reply(thinking="a thought", answer="done", gate_before_answer=gate)]
    )

    async def scenario(driver: Driver) -> None:
        await driver.until_idle()
        await driver.send("hi")
        await driver.until_at(gate)
        assert "a thought" in driver.thinking_text
        assert "done" not in driver.answer_text

        gate.open()
        await driver.until_idle()
        assert "done" in driver.answer_text

    drive(conversation, scenario)


@pytest.mark.parametrize("key", ["escape", "ctrl+c"])
def test_stop_key_ends_the_reply_and_keeps_its_text(key: str) -> None:
    gate = Gate()
    turn: Turn = [
        Phase(phase=PhaseName.ANSWER),
        Answer(text="half of it"),
        gate,
        Answer(text="more"),
    ]
    conversation = FakeConversation([turn])

    async def scenario(driver: Driver) -> None:
        await driver.until_idle()
        await driver.send("hi")
        await driver.until_at(gate)
        await driver.press(key)
        await driver.until_idle()

        assert conversation.n_stops == 1
        assert "half of it" in driver.answer_text
        assert "more" not in driver.answer_text
        assert "not complete" in driver.answer_text
        assert "ready" in driver.status_text

    drive(conversation, scenario)


@pytest.mark.parametrize(
    ("stage", "activity"), [("load", Activity.LOADING), ("prompt", Activity.READING)]
)
def test_stop_key_works_in_load_and_prefill(stage: str, activity: Activity) -> None:
    gate = Gate()
    held: Turn = [Progress(stage=stage, done=1, total=2), gate, End(state=EndState.CANCELLED)]
    is_load = stage == "load"
    conversation = FakeConversation([held], opening=held if is_load else LOADED)

    async def scenario(driver: Driver) -> None:
        if not is_load:
            await driver.until_idle()
            await driver.send("hi")
        await driver.until_at(gate)
        assert driver.chat.view.status.activity is activity

        await driver.press("escape")
        await driver.until_idle()

        assert conversation.n_stops == 1

    drive(conversation, scenario)


def test_question_during_a_reply_is_refused_with_a_hint_and_stays_in_the_prompt() -> None:
    gate = Gate()
    conversation = FakeConversation([reply(answer="x", gate_before_answer=gate)])

    async def scenario(driver: Driver) -> None:
        await driver.until_idle()
        await driver.send("first")
        await driver.until_at(gate)
        await driver.send("second")

        assert conversation.asked == ["first"]
        assert driver.chat.prompt.text == "second"
        assert "Esc stops it" in driver.status_text
        gate.open()
        await driver.until_idle()

    drive(conversation, scenario)


def test_question_during_the_load_is_sent_when_the_model_is_there() -> None:
    gate = Gate()
    conversation = FakeConversation([reply(answer="late")], opening=[LOADED[0], gate, LOADED[2]])

    async def scenario(driver: Driver) -> None:
        await driver.until_at(gate)
        await driver.send("early")
        assert conversation.asked == []

        gate.open()
        await driver.until(lambda: "late" in driver.answer_text)

        assert conversation.asked == ["early"]

    drive(conversation, scenario)


def test_question_that_waited_for_a_failed_load_returns_to_the_prompt() -> None:
    gate = Gate()
    conversation = FakeConversation(opening=[gate, *failure(message="no such file")])

    async def scenario(driver: Driver) -> None:
        await driver.until_at(gate)
        await driver.send("early")
        gate.open()
        await driver.until_idle()

        assert driver.chat.prompt.text == "early"
        assert conversation.asked == []
        assert "no such file" in driver.answer_text
        assert "failed" in driver.status_text

    drive(conversation, scenario)


def test_engine_that_dies_leaves_text_and_hint_and_the_next_question_works() -> None:
    died = [Phase(phase=PhaseName.ANSWER), Answer(text="so far"), *failure(hint="ask again")]
    conversation = FakeConversation([died, reply(answer="recovered")])

    async def scenario(driver: Driver) -> None:
        await driver.until_idle()
        await driver.send("one")
        await driver.until_idle()
        for text in ("so far", "SIGKILL", "ask again"):
            assert text in driver.answer_text
        assert "failed" in driver.status_text

        await driver.send("two")
        await driver.until(lambda: "recovered" in driver.answer_text)
        await driver.until_idle()
        assert "so far" in driver.answer_text
        assert "ready" in driver.status_text

    drive(conversation, scenario)


def test_notice_is_shown() -> None:
    turn = [Notice(code="x", message="fell back to the CPU"), *reply(answer="ok")]

    async def scenario(driver: Driver) -> None:
        await driver.until_idle()
        await driver.send("hi")
        await driver.until_idle()

        assert "note: fell back to the CPU" in driver.answer_text

    drive(FakeConversation([turn]), scenario)


def test_warning_in_the_middle_of_an_answer_is_shown_beside_it() -> None:
    turn = reply(answer="one two three")
    second_word = [isinstance(event, Answer) for event in turn].index(True) + 1
    turn.insert(second_word, Notice(code="memory_pressure", message="memory is short"))

    async def scenario(driver: Driver) -> None:
        await driver.until_idle()
        await driver.send("hi")
        await driver.until_idle()

        assert "note: memory is short" in driver.answer_text
        assert "one two three" in driver.answer_text

    drive(FakeConversation([turn]), scenario)


def test_clear_forgets_the_screen_and_the_history() -> None:
    conversation = FakeConversation([reply(thinking="hm", answer="first")])

    async def scenario(driver: Driver) -> None:
        await driver.until_idle()
        await driver.send("hi")
        await driver.until_idle()
        await driver.press("ctrl+l")

        assert conversation.n_clears == 1
        assert driver.answer_text == ""
        assert driver.thinking_text == ""

    drive(conversation, scenario)


def test_clear_is_refused_while_a_reply_runs() -> None:
    gate = Gate()
    conversation = FakeConversation([reply(thinking="hm", answer="x", gate_before_answer=gate)])

    async def scenario(driver: Driver) -> None:
        await driver.until_idle()
        await driver.send("hi")
        await driver.until_at(gate)
        await driver.press("ctrl+l")

        assert conversation.n_clears == 0
        assert "hm" in driver.thinking_text
        gate.open()
        await driver.until_idle()

    drive(conversation, scenario)


def test_engine_that_ends_while_nobody_asks_is_shown_at_once() -> None:
    conversation = FakeConversation([reply(answer="36")])

    async def scenario(driver: Driver) -> None:
        await driver.until_idle()
        conversation.tell(Error(code="engine_died", message="ended by SIGKILL", hint="ask again"))
        await driver.until(lambda: "ended by SIGKILL" in driver.answer_text)

        assert "ask again" in driver.answer_text
        assert "failed" in driver.status_text
        await driver.send("hi")
        await driver.until(lambda: conversation.asked == ["hi"])
        await driver.until_idle()
        assert "ready" in driver.status_text

    drive(conversation, scenario)
