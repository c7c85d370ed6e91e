"""Owns the chat screen: layout, keys, and the rhythm in which events are drawn.

Nothing is drawn when an event arrives; a timer drains the bridge a few times a second while the
engine works, and stands still when it does not.
"""

from __future__ import annotations

import dataclasses
import time
from enum import StrEnum
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.message import Message
from textual.screen import Screen
from textual.timer import Timer

from tui.bridge import Bridge
from tui.keys import bindings
from tui.reply_view import ReplyView
from tui.screens.help import HelpScreen
from tui.widgets.phase_pane import PhasePane
from tui.widgets.prompt import Prompt
from tui.widgets.status import Activity, StatusLine

_FRAME_S = 1 / 12
_DUTY = 4  # after a frame that took long, wait this many times as long: keys come first ...
_LONGEST_WAIT_S = 0.5  # ... but never so long that the stream seems to have stopped


class ThinkingMode(StrEnum):
    """How much of the thought is shown; the value is the class of the panes."""

    FULL = "-full"
    LINE = "-line"
    HIDDEN = "-hidden"


class ChatScreen(Screen[None]):
    """Thinking and answer, the prompt, the status line."""

    class News(Message):
        """Something happened although nothing runs."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings()]

    def __init__(self, bridge: Bridge, *, title: str) -> None:
        super().__init__()
        self.bridge = bridge
        self._panes = Container(id="panes", classes=ThinkingMode.FULL)
        self.thinking = PhasePane(id="thinking")
        self.answer = PhasePane(id="answer")
        self.prompt = Prompt(id="prompt")
        self._status_line = StatusLine(id="status")
        self.view = ReplyView(self.thinking, self.answer, model=title)
        self._mode = ThinkingMode.FULL
        self._queued = ""
        self._frames: Timer | None = None
        self._next_frame_s = 0.0

    def compose(self) -> ComposeResult:
        """The panes share what the prompt and the status line leave."""
        with self._panes:
            yield self.thinking
            yield self.answer
        yield self.prompt
        yield self._status_line

    def on_mount(self) -> None:
        """Load the model while the prompt can already be used."""
        self._frames = self.set_interval(_FRAME_S, self._frame, pause=True)
        self.bridge.on_news = lambda: self.post_message(self.News())
        self.prompt.focus()
        self.bridge.open()
        self._wake()

    def on_chat_screen_news(self) -> None:
        """Draw what happened between replies."""
        self._wake()

    def on_resize(self) -> None:
        """The status line is laid out by hand."""
        self.call_after_refresh(self._show)

    def on_prompt_sent(self, message: Prompt.Sent) -> None:
        """Send, or keep until the model is there, or say why not."""
        if self.bridge.is_busy and (self._queued or self.view.status.activity != Activity.LOADING):
            self._hint("a reply is running: Esc stops it, your text waits here")
            return
        self.prompt.text = ""
        if self.bridge.is_busy:
            self._queued = message.text
            self._hint("your question is sent when the model is loaded")
            return
        self._ask(message.text)

    def action_stop(self) -> None:
        """Stop the load or the reply."""
        if self.bridge.is_busy:
            self.bridge.stop()
            self._set_activity(Activity.STOPPING)

    def action_interrupt(self) -> None:
        """What runs is stopped first; a second time, or with nothing running, it quits."""
        if self.bridge.is_busy and self.view.status.activity is not Activity.STOPPING:
            self.action_stop()
        elif selected := (self.get_selected_text() or self.prompt.selected_text):
            self.app.copy_to_clipboard(selected)
        else:
            self.app.exit(0)

    def action_cycle_thinking(self) -> None:
        """Full, one line, hidden, full."""
        modes = list(ThinkingMode)
        self._panes.remove_class(self._mode)
        self._mode = modes[(modes.index(self._mode) + 1) % len(modes)]
        self._panes.add_class(self._mode)
        self._show()

    def action_clear(self) -> None:
        """Forget the conversation, on screen and in the engine's history."""
        if self.bridge.is_busy:
            self._hint("cannot clear while the engine is working: Esc stops it")
            return
        self.bridge.clear()
        self.view.clear()
        self._show()

    def action_copy_answer(self) -> None:
        """Put the source of the last answer on the clipboard."""
        answer = self.view.answer_source
        if answer:
            self.app.copy_to_clipboard(answer)
        self._hint("the answer is copied" if answer else "there is no answer to copy")

    def action_scroll_answer(self, n_pages: int) -> None:
        """Scroll from the prompt."""
        log = self.answer.log_view
        log.scroll_relative(y=n_pages * max(log.size.height - 1, 1), animate=False)

    def action_help(self) -> None:
        """Show the keys."""
        self.app.push_screen(HelpScreen())

    def _ask(self, text: str) -> None:
        self.view.begin(text)
        self.bridge.ask(text)
        self._wake()
        self._show()

    def _wake(self) -> None:
        if self._frames is not None:
            self._frames.resume()

    def _frame(self) -> None:
        started_s = time.perf_counter()
        if started_s < self._next_frame_s:
            return
        for event in self.bridge.drain():
            self.view.apply(event)
        if not self.bridge.is_busy:
            self._job_ended()
        self._show()
        ended_s = time.perf_counter()
        self._next_frame_s = ended_s + min(_DUTY * (ended_s - started_s), _LONGEST_WAIT_S)

    def _job_ended(self) -> None:
        """The engine is idle: send what waited for the load, or stand still."""
        if self._frames is not None:
            self._frames.pause()
        if self.view.status.activity in {Activity.LOADING, Activity.STOPPING}:
            self._set_activity(Activity.FAILED)  # the load was stopped; the next question retries
        queued, self._queued = self._queued, ""
        if not queued:
            return
        if self.view.status.activity is Activity.READY:
            self._ask(queued)
        else:
            self.prompt.text = queued

    def _show(self) -> None:
        self.view.paint(is_thinking_collapsed=self._mode is ThinkingMode.LINE)
        self._status_line.show(self.view.status)

    def _set_activity(self, activity: Activity) -> None:
        self.view.status = dataclasses.replace(self.view.status, activity=activity, hint="")
        self._show()

    def _hint(self, text: str) -> None:
        self.view.status = dataclasses.replace(self.view.status, hint=text)
        self._show()
