"""Drives the terminal interface in a test: no sleeps, only predicates that become true."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from textual.pilot import Pilot

from localr1.chat.conversation import Conversation
from tests.support.fake_conversation import Gate
from tui.app import ChatApp
from tui.screens.chat import ChatScreen

NARROW = (80, 24)
WIDE = (120, 36)

_POLL_S = 0.005
_N_HOPS = 4
"""Queues that a key goes through: the app's, the screen's, the widget's, that of who it tells."""


class Driver:
    """A running app, with the words a test needs."""

    def __init__(self, app: ChatApp, pilot: Pilot[int]) -> None:
        self.app = app
        self.pilot = pilot

    @property
    def chat(self) -> ChatScreen:
        """The chat screen, also when a dialog covers it."""
        screen = self.app.screen_stack[0]
        assert isinstance(screen, ChatScreen)
        return screen

    @property
    def answer_text(self) -> str:
        """What the answer pane holds, as drawn."""
        return self.chat.answer.log_view.text

    @property
    def thinking_text(self) -> str:
        """What the thinking pane holds, as drawn."""
        return self.chat.thinking.log_view.text

    @property
    def status_text(self) -> str:
        """The status line, as drawn."""
        return self.rows()[-1]

    def rows(self) -> list[str]:
        """The characters on screen."""
        return [strip.text for strip in self.app.screen._compositor.render_strips()]

    async def until(self, is_true: Callable[[], bool]) -> None:
        """Let the app run until this holds; the test's time limit ends a wait in vain."""
        while not is_true():
            await self.pilot.pause(_POLL_S)
        await self.pilot.pause()

    async def until_idle(self) -> None:
        """The engine has nothing to do and everything it said is drawn."""
        await self.until(lambda: not self.chat.bridge.is_busy)

    async def until_at(self, gate: Gate) -> None:
        """The script waits at the gate and everything before it is drawn."""
        await self.until(lambda: gate.reached.is_set() and not self.chat.bridge.has_events)

    async def press(self, *keys: str) -> None:
        """Press keys, by Textual's names."""
        await self.pilot.press(*keys)
        await self._settle()

    async def send(self, text: str) -> None:
        """Put text into the prompt and press Enter."""
        self.chat.prompt.text = text
        await self.press("enter")

    async def _settle(self) -> None:
        """Every key is handled, however busy the machine: Textual waits for one queue each."""
        for _ in range(_N_HOPS):
            await self.pilot._wait_for_screen()


def drive(
    conversation: Conversation,
    scenario: Callable[[Driver], Awaitable[None]],
    size: tuple[int, int] = NARROW,
) -> ChatApp:
    """Run the scenario against the app on a terminal of this size; the app, ended."""
    app = ChatApp(conversation)

    async def run() -> None:
        async with app.run_test(size=size) as pilot:
            app.theme = "textual-dark"
            await scenario(Driver(app, pilot))

    asyncio.run(run())
    app.close_conversation()
    return app
