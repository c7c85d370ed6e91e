"""Owns the application: it puts the chat screen on a terminal and takes it off again.

Entry point of the group `localr1.frontend`. It composes and nothing more.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from pathlib import Path

from textual.app import App, SystemCommand
from textual.screen import Screen

from localr1.chat.conversation import Conversation
from localr1.terminal_text import safe_line
from tui.bridge import Bridge
from tui.keys import KEYS
from tui.screens.chat import ChatScreen


class ChatApp(App[int]):
    """A conversation in two panes."""

    CSS_PATH = Path(__file__).with_name("app.tcss")
    TITLE = "localr1"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (120, "-wide")]  # noqa: RUF012 - Textual's annotation

    def __init__(self, conversation: Conversation) -> None:
        super().__init__()
        self.animation_level = "none"  # every animated frame is bytes and a flicker
        self._bridge = Bridge(conversation)
        self._model = safe_line(conversation.title)

    def get_default_screen(self) -> Screen[None]:
        """The only screen below the dialogs."""
        return ChatScreen(self._bridge, title=self._model)

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """The palette: what the keys do, by name."""
        for key in KEYS:
            if key.action and key.action not in {"app.command_palette", "interrupt"}:
                run = functools.partial(screen.run_action, key.action)
                yield SystemCommand(key.description.capitalize(), key.shown, run)

    @property
    def exit_code(self) -> int:
        """The program's: that of the last reply."""
        return self._bridge.exit_code

    def close_conversation(self) -> None:
        """End the engine; waits a few seconds at most."""
        self._bridge.close()

    def _fatal_error(self) -> None:
        # Textual would print the values of local variables: the conversation
        self._close_messages_no_wait()


def run(conversation: Conversation) -> int:
    """Hold the conversation on this terminal; the exit code.

    Raises: whatever went wrong inside, once the terminal is restored.
    """
    app = ChatApp(conversation)
    try:
        app.run()
    finally:
        app.close_conversation()
    if app._exception is not None:  # noqa: SLF001 - Textual keeps it and has no way to ask
        raise app._exception  # noqa: SLF001
    return app.return_code or app.exit_code
