"""Owns a pane: a header with the numbers of a phase, and the log of what it said."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from localr1.terminal_text import safe_line
from tui.widgets.strip_log import StripLog


class PhasePane(Vertical):
    """Thinking or answer."""

    def __init__(self, *, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self.log_view = StripLog()
        self._header = Static(classes="pane--header", markup=False)
        self._shown = ""

    def compose(self) -> ComposeResult:
        """The header above the log."""
        yield self._header
        yield self.log_view

    def show_header(self, text: str, *, aside: str = "") -> None:
        """Set the header; `aside` is foreign text after it, cut where the pane ends."""
        line = text + (f" · {safe_line(aside)}" if aside else "")
        if line != self._shown:
            self._shown = line
            self._header.update(Content(line), layout=False)
