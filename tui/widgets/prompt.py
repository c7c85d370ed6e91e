"""Owns the editor at the bottom: several lines, Enter sends, Shift+Enter or Ctrl+J break the line.

Terminals that cannot tell Shift+Enter from Enter send the same byte for both; Ctrl+J always works.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.events import Key
from textual.message import Message
from textual.widgets import TextArea


class Prompt(TextArea):
    """Where the user writes. It keeps its text until the screen takes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("pageup", "screen.scroll_answer(-1)", show=False),
        Binding("pagedown", "screen.scroll_answer(1)", show=False),
    ]

    @dataclass
    class Sent(Message):
        """The user wants this sent."""

        text: str

    def __init__(self, *, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(
            id=id, tab_behavior="focus", highlight_cursor_line=False, placeholder="Ask something"
        )
        self.cursor_blink = False  # an idle screen writes nothing
        self.border_subtitle = "Enter send · Ctrl+J new line · F1 keys"

    def on_key(self, event: Key) -> None:
        """Enter and its variants, in the order in which the keys were typed.

        A priority binding would run at once, ahead of the letters that are still on their way.
        """
        if event.key == "enter":
            event.prevent_default()
            event.stop()
            if self.text.strip():
                self.post_message(self.Sent(self.text.strip("\n")))
        elif event.key in {"shift+enter", "ctrl+j"}:
            event.prevent_default()
            event.stop()
            self.replace("\n", *self.selection, maintain_selection_offset=False)
