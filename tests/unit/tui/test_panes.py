"""The panes and dialogs: folding the thought away, copying, help, layout."""

from __future__ import annotations

from localr1.events import (
    Answer,
    End,
    EndState,
    Phase,
    PhaseName,
    Thinking,
)
from tests.support.fake_conversation import FakeConversation, Gate, reply
from tests.support.tui_pilot import WIDE, Driver, drive


def test_thinking_cycles_through_full_line_and_hidden() -> None:
    conversation = FakeConversation([reply(thinking="first\nlast thought", answer="x")])

    async def scenario(driver: Driver) -> None:
        await driver.until_idle()
        await driver.send("hi")
        await driver.until_idle()
        pane, log = driver.chat.thinking, driver.chat.thinking.log_view

        await driver.press("ctrl+t")
        await driver.until(lambda: not log.is_on_screen)
        assert pane.size.height == 1
        assert "last thought" in driver.rows()[0]

        await driver.press("ctrl+t")
        await driver.until(lambda: not pane.is_on_screen)

        await driver.press("ctrl+t")
        await driver.until(lambda: log.is_on_screen and log.is_settled)
        assert any("last thought" in row for row in driver.rows())

    drive(conversation, scenario)


def test_thought_that_came_while_folded_away_is_there_when_unfolded() -> None:
    gate = Gate()
    conversation = FakeConversation(
        [reply(thinking="unseen\nthought", answer="x", gate_before_answer=gate)]
    )

    async def scenario(driver: Driver) -> None:
        await driver.until_idle()
        await driver.press("ctrl+t", "ctrl+t")
        await driver.until(lambda: not driver.chat.thinking.is_on_screen)
        await driver.send("hi")
        await driver.until_at(gate)
        await driver.press("ctrl+t")
        await driver.until(lambda: any("unseen" in row for row in driver.rows()))
        gate.open()
        await driver.until_idle()

        assert any("thought" in row for row in driver.rows())

    drive(conversation, scenario)


def test_model_that_thinks_again_after_answering_loses_nothing() -> None:
    turn = [
        Phase(phase=PhaseName.THINKING),
        Thinking(text="one"),
        Phase(phase=PhaseName.ANSWER),
        Answer(text="first"),
        Phase(phase=PhaseName.THINKING),
        Thinking(text="two"),
        Phase(phase=PhaseName.ANSWER),
        Answer(text=" second"),
        End(state=EndState.ANSWERED),
    ]

    async def scenario(driver: Driver) -> None:
        await driver.until_idle()
        await driver.send("hi")
        await driver.until_idle()

        assert driver.thinking_text.split() == ["›", "hi", "one", "two"]
        assert "first second" in driver.answer_text

    drive(FakeConversation([turn]), scenario)


def test_copy_key_copies_the_source_of_the_answer() -> None:
    async def scenario(driver: Driver) -> None:
        await driver.until_idle()
        await driver.send("hi")
        await driver.until_idle()
        assert driver.app.clipboard == ""

        await driver.press("f2")

        assert driver.app.clipboard == "**bold** `code`"

    drive(FakeConversation([reply(answer="**bold** `code`\n")]), scenario)


def test_help_opens_and_closes() -> None:
    async def scenario(driver: Driver) -> None:
        await driver.until_idle()
        await driver.press("f1")
        await driver.until(lambda: any("clear the conversation" in row for row in driver.rows()))

        await driver.press("escape")
        await driver.until(lambda: len(driver.app.screen_stack) == 1)

    drive(FakeConversation(), scenario)


def test_question_mark_is_a_letter_in_the_prompt() -> None:
    async def scenario(driver: Driver) -> None:
        await driver.until_idle()
        await driver.press("question_mark")

        assert driver.chat.prompt.text == "?"
        assert len(driver.app.screen_stack) == 1

    drive(FakeConversation(), scenario)


def test_panes_stand_side_by_side_on_a_wide_terminal() -> None:
    async def scenario(driver: Driver) -> None:
        await driver.until_idle()
        thinking, answer = driver.chat.thinking, driver.chat.answer
        assert thinking.region.y == answer.region.y

        await driver.pilot.resize_terminal(80, 24)
        await driver.until(lambda: thinking.region.y != answer.region.y)

        assert thinking.region.x == answer.region.x

    drive(FakeConversation(), scenario, WIDE)
