"""Owns the keys: one table for the bindings, the help screen and the palette."""

from __future__ import annotations

from dataclasses import dataclass

from textual.binding import Binding


@dataclass(frozen=True, slots=True)
class Key:
    """A key, what it does, and the words for it."""

    keys: str
    shown: str
    description: str
    action: str = ""
    """Empty for keys that the focused widget handles itself."""
    is_priority: bool = True
    """Works wherever the focus is."""


KEYS = (
    Key("", "Enter", "send"),
    Key("", "Shift+Enter, Ctrl+J", "new line"),
    Key("escape", "Esc", "stop the load or the reply", "stop"),
    Key("ctrl+c", "Ctrl+C", "stop; copy the selection; quit", "interrupt"),
    Key("ctrl+t", "Ctrl+T", "thinking: full, one line, hidden", "cycle_thinking"),
    Key("ctrl+l", "Ctrl+L", "clear the conversation", "clear"),
    Key("f2", "F2", "copy the last answer", "copy_answer"),
    Key("f3", "F3", "choose a theme", "app.change_theme"),
    Key("pageup", "Page Up", "scroll the answer up", "scroll_answer(-1)", is_priority=False),
    Key("pagedown", "Page Down", "scroll the answer down", "scroll_answer(1)", is_priority=False),
    Key("", "Tab", "next pane; arrows, Home and End scroll it"),
    Key("ctrl+p", "Ctrl+P", "all commands", "app.command_palette"),
    Key("f1", "F1", "this help", "help"),
    Key("question_mark", "?", "this help, outside the prompt", "help", is_priority=False),
    Key("ctrl+q", "Ctrl+Q", "quit", "app.quit"),
)


def bindings() -> list[Binding]:
    """The table as Textual wants it."""
    return [
        Binding(key.keys, key.action, key.description, show=False, priority=key.is_priority)
        for key in KEYS
        if key.action
    ]
