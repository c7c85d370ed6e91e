"""Leaving: from every state, without a hang, with the conversation closed."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from functools import partialmethod
from typing import cast

import pytest
from textual.app import App

from localr1.events import Event, Progress
from tests.support.fake_conversation import FakeConversation, Gate, failure, reply
from tests.support.tui_pilot import Driver, drive
from tui import bridge
from tui.app import ChatApp, run


@pytest.mark.parametrize("key", ["ctrl+q", "ctrl+c"])
def test_quit_key_quits_when_nothing_runs(key: str) -> None:
    conversation = FakeConversation()

    async def scenario(driver: Driver) -> None:
        await driver.until_idle()
        await driver.press(key)
        await driver.until(lambda: driver.app.return_code is not None)

    app = drive(conversation, scenario)

    assert app.return_code == 0
    assert conversation.is_closed


def test_quit_during_a_reply_closes_the_conversation() -> None:
    gate = Gate()
    conversation = FakeConversation([reply(thinking="hm", gate_before_answer=gate)])

    async def scenario(driver: Driver) -> None:
        await driver.until_idle()
        await driver.send("hi")
        await driver.until_at(gate)
        await driver.press("ctrl+q")

    drive(conversation, scenario)

    assert conversation.is_closed
    assert gate.opened.is_set()


class _Hung:
    """A conversation that speaks once more when it is told to stop, and never returns."""

    title = "hung"

    def __init__(self) -> None:
        self.is_stopping = threading.Event()
        self.is_released = threading.Event()

    def open(self) -> Iterator[Event]:
        yield Progress(stage="load", done=0, total=2)
        self.is_stopping.wait()
        yield Progress(stage="load", done=1, total=2)
        self.is_released.wait()

    def ask(self, text: str) -> Iterator[Event]:
        yield from ()

    def stop(self) -> None:
        self.is_stopping.set()
        self.is_released.wait()

    def listen(self, tell: Callable[[Event], None]) -> None:
        return

    def clear(self) -> None:
        return

    def close(self) -> None:
        self.is_released.wait()


def _progress_done(driver: Driver) -> float | None:
    """How much the interface believes to be loaded."""
    progress = driver.chat.view.status.progress
    return progress.done if progress else None


def test_quit_does_not_wait_for_an_engine_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge, "_CLOSE_TIMEOUT_S", 0.01)
    conversation = _Hung()

    async def scenario(driver: Driver) -> None:
        await driver.until(lambda: "loading" in driver.status_text)
        await driver.press("ctrl+c")
        await driver.until(conversation.is_stopping.is_set)
        await driver.until(lambda: _progress_done(driver) == 1)
        await driver.press("ctrl+c")
        await driver.until(lambda: driver.app.return_code is not None)

    app = drive(conversation, scenario)
    conversation.is_released.set()

    assert app.return_code == 0


class _Broken(FakeConversation):
    """A conversation with a bug."""

    def ask(self, text: str) -> Iterator[Event]:
        yield from ()
        raise RuntimeError("a bug below")


def test_exception_in_the_conversation_is_shown_and_not_raised() -> None:
    async def scenario(driver: Driver) -> None:
        await driver.until_idle()
        await driver.send("hi")
        await driver.until_idle()

        assert "unexpected RuntimeError: a bug below" in driver.answer_text
        assert "failed" in driver.status_text

    drive(_Broken(), scenario)


class _Nonsense(FakeConversation):
    """A conversation whose events are not what they claim to be."""

    def open(self) -> Iterator[Event]:
        secret = "what the user wrote"  # noqa: S105 - a canary, not a password
        yield Progress(stage="load", done=cast("float", secret), total=1)


def test_failure_of_the_interface_is_raised_after_closing_and_shows_no_locals(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    conversation = _Nonsense()
    monkeypatch.setattr(ChatApp, "run", partialmethod(App.run, headless=True, size=(80, 24)))

    with pytest.raises(TypeError):
        run(conversation)

    assert conversation.is_closed
    assert "what the user wrote" not in "".join(capfd.readouterr())


def _has_asked(conversation: FakeConversation, n_asked: int) -> bool:
    return len(conversation.asked) == n_asked


def test_exit_code_is_that_of_the_last_reply() -> None:
    conversation = FakeConversation([failure("engine_died"), reply(answer="fine")])
    codes: list[int] = []

    async def scenario(driver: Driver) -> None:
        for n_asked in (1, 2):
            await driver.until_idle()
            await driver.send("hi")
            await driver.until(functools.partial(_has_asked, conversation, n_asked))
            await driver.until_idle()
            codes.append(driver.app.exit_code)

    drive(conversation, scenario)

    assert codes == [7, 0]
