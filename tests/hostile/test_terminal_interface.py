"""Text from models, files and errors is shown as text, whatever it contains."""

from __future__ import annotations

import itertools
import re

import pytest

from localr1.events import (
    Answer,
    End,
    EndState,
    Error,
    Load,
    Notice,
    Phase,
    PhaseName,
    Progress,
    Thinking,
)
from tests.support.fake_conversation import FakeConversation, Turn
from tests.support.tui_pilot import Driver, drive

_ESCAPES = [
    "\x1b]52;c;aGFja2Vk\x07",
    "\x1b[2J\x1b[H",
    "\x1b]0;title\x07",
    "\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\",
    "\x9b31m",
    "\x1bP+q\x1b\\",
    "\r\x08\x08\x7f\x0b\x0c\x00",
    "\u202eevil\u202c",
    "\ud800",
]
_TAGS = ["/INST", "@click=app.quit", "/", "red", "link=http://x", "$primary", "#fff on #000", "b]["]
_BRACKETS = [
    f"{before}[{tag}]{middle}[/{after}]"
    for tag, before, middle, after in itertools.product(
        _TAGS, ["", "\\", "["], ["x", ""], ["", "red", "INST", "@click"]
    )
]
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def _everywhere(payload: str) -> FakeConversation:
    """The payload wherever foreign text can come from."""
    load = Load(model=payload, n_ctx=10, devices=(), plan={}, measured={}, seconds=0.1)
    turn: Turn = [
        Notice(code=payload, message=payload),
        Phase(phase=PhaseName.THINKING),
        Thinking(text=payload),
        Phase(phase=PhaseName.ANSWER),
        *(Answer(text=character) for character in payload),
        Answer(text=f"\n\n```{payload}\n{payload}\n```\n\n| {payload} |\n|---|\n| x |\n"),
        Error(code=payload, message=payload, hint=payload),
        End(state=EndState.FAILED),
    ]
    opening: Turn = [Progress(stage=payload, done=1, total=2, unit=payload), load]
    return FakeConversation([turn], opening=opening, title=payload)


async def _see_all(driver: Driver) -> None:
    await driver.until_idle()
    await driver.send("show [/me] \x1b[31m everything")
    await driver.until_idle()
    await driver.press("ctrl+t")
    await driver.pilot.pause()


@pytest.mark.parametrize("payload", _ESCAPES, ids=ascii)
def test_no_control_character_reaches_the_screen(payload: str) -> None:
    async def scenario(driver: Driver) -> None:
        await _see_all(driver)

        shown = "\n".join([*driver.rows(), driver.answer_text, driver.thinking_text])
        assert _CONTROL.search(shown) is None

    drive(_everywhere(payload), scenario)


def test_brackets_are_text_on_every_surface() -> None:
    async def scenario(driver: Driver) -> None:
        await _see_all(driver)

        thinking = driver.thinking_text
        assert [payload for payload in _BRACKETS if payload not in thinking] == []

    drive(_everywhere("\n".join(_BRACKETS)), scenario, (200, 40))


@pytest.mark.parametrize(
    "payload", ["[@click=app.quit]x[/]", "[/INST]", "[red]x", "[", "]]", "\\[/b]"]
)
def test_markup_in_an_error_a_name_or_an_answer_is_shown_and_harmless(payload: str) -> None:
    async def scenario(driver: Driver) -> None:
        await _see_all(driver)

        assert payload in driver.status_text
        assert f"✗ {payload}" in driver.answer_text
        assert payload in driver.chat.thinking.log_view.text
        assert driver.app.is_running

    drive(_everywhere(payload), scenario, (200, 40))
