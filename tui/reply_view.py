"""Owns how the events of a conversation reach the two panes and the status line.

The reducer says what the reply is; this says where each new piece of it is shown. It knows
nothing of keys, threads or timers.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from textual.content import Content
from textual.strip import Strip

from localr1.chat.reducer import Turn, reduce
from localr1.events import (
    Answer,
    End,
    EndState,
    Error,
    Event,
    Load,
    Notice,
    Phase,
    PhaseName,
    Progress,
    Prompt,
    Stats,
    Thinking,
)
from localr1.terminal_text import safe_line, safe_text
from tui.meters import PhaseMeter, measured_bytes, predicted_bytes
from tui.rendering.flow import Piece
from tui.rendering.streams import MarkdownStream, PlainStream
from tui.rendering.strips import to_strips, wrap
from tui.widgets.phase_pane import PhasePane
from tui.widgets.status import Activity, Status
from tui.widgets.strip_log import StripLog

_ENDINGS = {
    EndState.CUT_OFF: "stopped while thinking: there is no answer",
    EndState.CANCELLED: "stopped: the answer is not complete",
    EndState.FORCED: "the thinking was cut short",
}
_REASONS = {
    "length": "the limit of tokens was reached",
    "context": "the context is full: clear the conversation, or start with a larger --ctx",
}


class ReplyView:
    """The reply that runs, or the last one, on its way to the screen."""

    def __init__(self, thinking: PhasePane, answer: PhasePane, *, model: str) -> None:
        self._thinking = thinking
        self._answer = answer
        self._turn = Turn()
        self._meters = {phase: PhaseMeter(phase) for phase in PhaseName}
        self._streamed: set[PhaseName] = set()
        self._question = ""
        self.status = Status(Activity.LOADING, model)

    @property
    def answer_source(self) -> str:
        """The last answer as the model wrote it."""
        return self._turn.answer.for_display

    def begin(self, question: str) -> None:
        """Show the question and make ready for its reply."""
        self._add_footers()
        self._turn = Turn()
        self._meters = {phase: PhaseMeter(phase) for phase in PhaseName}
        self._question = question
        self._streamed.clear()
        self._add(self._answer, question, ".log--user", marker="› ")
        self._answer.log_view.follow()
        self._thinking.log_view.follow()
        self._set(activity=Activity.READING, tokens_per_s=None)

    def clear(self) -> None:
        """Forget what is on screen."""
        self._streamed.clear()
        self._turn = Turn()
        self._meters = {phase: PhaseMeter(phase) for phase in PhaseName}
        self._thinking.log_view.clear()
        self._answer.log_view.clear()
        self._set(activity=Activity.READY, n_ctx_used=0, tokens_per_s=None)

    def apply(self, event: Event) -> None:
        """Bring one event to the screen; it is seen with the next `paint`."""
        self._turn = reduce(self._turn, event)
        for meter in self._meters.values():
            meter.see(event)
        match event:
            case Thinking() | Answer():
                self._feed(event)
            case Progress(stage=stage):
                self._go_on(Activity.LOADING if stage == "load" else Activity.READING)
                self._set(progress=event)
            case Load():
                self._loaded(event)
            case Prompt() | Phase() | Stats():
                self._count(event)
            case Notice(message=message):
                self._add(self._answer, f"note: {message}", ".log--notice")
            case Error():
                self._failed(event)
            case End():
                self._ended(event)

    def paint(self, *, is_thinking_collapsed: bool) -> None:
        """Draw what has changed in the panes."""
        aside = self._last_thought() if is_thinking_collapsed else ""
        self._thinking.show_header(self._meters[PhaseName.THINKING].text, aside=aside)
        self._answer.show_header(self._meters[PhaseName.ANSWER].text)
        self._thinking.log_view.paint()
        self._answer.log_view.paint()

    def _feed(self, piece: Thinking | Answer) -> None:
        phase = PhaseName.THINKING if isinstance(piece, Thinking) else PhaseName.ANSWER
        log = self._log(phase)
        if phase is PhaseName.THINKING and phase not in self._streamed:
            first_line = self._question.strip().partition("\n")[0]
            self._add(self._thinking, first_line, ".log--user", marker="› ")
        self._streamed.add(phase)
        if not log.is_streaming:  # some models think again after they have begun to answer
            is_thought = phase is PhaseName.THINKING
            plain = PlainStream(log.palette, style=".log--thought")
            log.start(plain if is_thought else MarkdownStream(log.palette))
        log.feed(piece.text)
        meter = self._meters[phase]
        read = self._turn.prompt.n_tokens if self._turn.prompt else 0
        written = self._turn.n_thinking_tokens + self._turn.n_answer_tokens
        self._set(tokens_per_s=meter.tokens_per_s or None, n_ctx_used=read + written)

    def _count(self, event: Prompt | Phase | Stats) -> None:
        match event:
            case Prompt(n_tokens=n_tokens):
                self._set(n_ctx_used=n_tokens)
            case Phase(phase=PhaseName.THINKING):
                self._go_on(Activity.THINKING)
            case Phase(phase=PhaseName.ANSWER):
                self._log(PhaseName.THINKING).finish()
                self._go_on(Activity.ANSWERING)
            case Stats():
                self._measured(event)

    def _loaded(self, load: Load) -> None:
        self._set(
            activity=Activity.READY,
            model=load.model,
            n_ctx=load.n_ctx,
            resident_bytes=load.measured.get("resident_bytes"),
            buffer_bytes=measured_bytes(load.measured),
            planned_bytes=predicted_bytes(load.plan),
        )

    def _measured(self, stats: Stats) -> None:
        changes: dict[str, Any] = {}
        if stats.phase is not PhaseName.PROMPT:
            changes["tokens_per_s"] = stats.tokens_per_s
        if stats.n_ctx_used is not None:
            changes["n_ctx_used"] = stats.n_ctx_used
        if stats.memory_bytes is not None:
            changes["resident_bytes"] = stats.memory_bytes
        self._set(**changes)

    def _failed(self, error: Error) -> None:
        self._finish_streams()
        self._add(self._answer, error.message, ".log--error", marker="✗ ")
        if error.hint:
            self._add(self._answer, error.hint, ".log--hint", marker="  ", has_gap=False)
        self._set(activity=Activity.FAILED)

    def _ended(self, end: End) -> None:
        self._finish_streams()
        if end.state is EndState.FAILED:
            self._set(activity=Activity.FAILED)
            return
        if ending := _REASONS.get(end.reason) or _ENDINGS.get(end.state):
            self._add(self._answer, ending, ".log--notice")
        self._set(activity=Activity.READY)

    def _go_on(self, activity: Activity) -> None:
        """What the engine does now; what it did before it heard the stop is no news."""
        if self.status.activity is not Activity.STOPPING:
            self._set(activity=activity)

    def _finish_streams(self) -> None:
        self._thinking.log_view.finish()
        self._answer.log_view.finish()

    def _add_footers(self) -> None:
        """The headers are about to change: what they said goes below the text."""
        for pane, phase in ((self._thinking, PhaseName.THINKING), (self._answer, PhaseName.ANSWER)):
            if phase in self._streamed:
                self._add(pane, self._meters[phase].text, ".log--footer")

    def _log(self, phase: PhaseName) -> StripLog:
        return (self._thinking if phase is PhaseName.THINKING else self._answer).log_view

    def _last_thought(self) -> str:
        """The line that the model is writing, or its last one."""
        return str(self._turn.thinking).rstrip().rpartition("\n")[2]

    def _set(self, **changes: Any) -> None:
        """Change the status; whatever happens ends a hint and a progress."""
        self.status = dataclasses.replace(self.status, **{"hint": "", "progress": None, **changes})

    def _add(
        self, pane: PhasePane, text: str, style: str, *, marker: str = "", has_gap: bool = True
    ) -> None:
        """One finished piece in one style, its lines indented below the marker."""
        log = pane.log_view
        is_first = log.is_empty
        shown = safe_text(text) if marker == "› " else safe_line(text)

        def draw(width: int) -> list[Strip]:
            lines = wrap(Content.styled(shown, style), width - len(marker))
            blank = Content(" " * len(marker))
            head = Content.styled(marker, style)
            rows = [(blank if index else head) + line for index, line in enumerate(lines)]
            gap = [Strip([])] if has_gap and not is_first else []
            return gap + to_strips(rows, log.palette())

        log.append(Piece(draw, len(shown)))
