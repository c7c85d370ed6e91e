"""The log follows the end until the reader scrolls up, and survives another width."""

from __future__ import annotations

from localr1.events import Answer, End, EndState, Phase, PhaseName
from tests.support.fake_conversation import FakeConversation, Gate, Turn
from tests.support.tui_pilot import NARROW, WIDE, Driver, drive

_WORDS = " ".join(f"word{n}" for n in range(40))
_LONG = "\n\n".join(f"paragraph {n} {_WORDS}" for n in range(60))


def _long_reply(gate: Gate) -> Turn:
    return [
        Phase(phase=PhaseName.ANSWER),
        Answer(text=_LONG),
        gate,
        Answer(text="\n\nthe very end"),
        End(state=EndState.ANSWERED),
    ]


def _shows(driver: Driver, text: str) -> bool:
    return any(text in row for row in driver.rows())


def test_end_of_a_growing_answer_stays_in_view() -> None:
    gate = Gate()

    async def scenario(driver: Driver) -> None:
        await driver.until_idle()
        await driver.send("hi")
        await driver.until_at(gate)
        assert _shows(driver, "word39")

        gate.open()
        await driver.until_idle()
        assert _shows(driver, "the very end")

    drive(FakeConversation([_long_reply(gate)]), scenario)


def test_scrolling_up_stops_following_and_end_resumes() -> None:
    gate = Gate()

    async def scenario(driver: Driver) -> None:
        await driver.until_idle()
        await driver.send("hi")
        await driver.until_at(gate)
        await driver.press("pageup", "pageup")
        log = driver.chat.answer.log_view
        top = log.scroll_offset.y

        gate.open()
        await driver.until_idle()
        assert log.scroll_offset.y == top
        assert not _shows(driver, "the very end")

        log.focus()
        await driver.press("end")
        assert _shows(driver, "the very end")
        assert log.is_following

    drive(FakeConversation([_long_reply(gate)]), scenario)


def test_answer_after_a_resize_looks_as_if_it_had_come_at_that_width() -> None:
    texts: list[str] = []
    gate = Gate()
    gate.open()

    async def resized(driver: Driver) -> None:
        await driver.until_idle()
        await driver.send("hi")
        await driver.until_idle()
        await driver.pilot.resize_terminal(*WIDE)
        log = driver.chat.answer.log_view
        await driver.until(lambda: driver.app.size.width == WIDE[0] and log.size.width != 78)
        await driver.until(lambda: log.is_settled)
        texts.append(driver.answer_text)
        assert _shows(driver, "the very end")

    async def direct(driver: Driver) -> None:
        await driver.until_idle()
        await driver.send("hi")
        await driver.until_idle()
        texts.append(driver.answer_text)

    drive(FakeConversation([_long_reply(gate)]), resized, NARROW)
    drive(FakeConversation([_long_reply(gate)]), direct, WIDE)

    assert texts[0] == texts[1]


def test_theme_redraws_frozen_text_in_its_colours() -> None:
    gate = Gate()
    gate.open()

    async def scenario(driver: Driver) -> None:
        await driver.until_idle()
        await driver.send("hi")
        await driver.until_idle()
        log = driver.chat.answer.log_view
        before = log.render_line(0)

        driver.app.theme = "textual-light"
        await driver.until(lambda: log.render_line(0) != before and log.is_settled)

        assert log.render_line(0).text == before.text

    drive(FakeConversation([_long_reply(gate)]), scenario)
