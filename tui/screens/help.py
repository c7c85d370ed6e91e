"""Owns the help screen: the keys, straight from the table that binds them."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from tui.keys import KEYS


class HelpScreen(ModalScreen[None]):
    """What every key does."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,f1,question_mark,q", "dismiss", "Close", priority=True)
    ]

    def compose(self) -> ComposeResult:
        """One row per key."""
        width = max(len(key.shown) for key in KEYS) + 2
        rows = [
            Content.styled(key.shown.ljust(width), "bold $text-accent") + Content(key.description)
            for key in KEYS
        ]
        with VerticalScroll(id="help") as box:
            box.border_title = "Keys"
            box.border_subtitle = "Esc closes"
            yield Static(Content("\n").join(rows))
