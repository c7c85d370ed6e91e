"""Owns the linear skin: one reply written top to bottom, for `ask`, `--once` and `--plain`.

The answer goes to stdout, everything else to stderr, so that `localr1 ask … > answer.md` keeps just
the answer. On a terminal, where both meet, a blank line parts them.
"""

from __future__ import annotations

from enum import StrEnum

from localr1.cli.output import Output
from localr1.errors import EXIT_CODE_OF, EXIT_INTERRUPTED, EXIT_NO_ANSWER, EXIT_UNEXPECTED
from localr1.events import (
    Answer,
    End,
    EndState,
    Error,
    Event,
    Load,
    Notice,
    PhaseName,
    Progress,
    Prompt,
    Stats,
    Thinking,
    to_json,
)
from localr1.terminal_text import safe_line
from localr1.units import format_bytes, format_duration

_STAGES = {"load": "loading", "prompt": "reading the prompt", "convert": "converting"}


class ThinkingMode(StrEnum):
    """What becomes of the thought."""

    SHOW = "show"  # on stderr
    HIDE = "hide"
    ONLY = "only"  # on stdout, and the answer nowhere


class LinearSkin:
    """Writes the events of one reply after the other."""

    def __init__(
        self,
        output: Output,
        thinking: ThinkingMode = ThinkingMode.SHOW,
        *,
        labels: bool = False,
        shows_memory: bool = False,
    ) -> None:
        self._output = output
        self._shows_memory = shows_memory or output.verbose
        self._thinking = thinking
        self._labels = labels
        self._begin()

    @property
    def _stdout_stream(self) -> PhaseName:
        return PhaseName.THINKING if self._thinking is ThinkingMode.ONLY else PhaseName.ANSWER

    def _begin(self) -> None:
        self._written: PhaseName | None = None  # the stream that the cursor is in
        self._blank = ""  # newlines held back: leading ones are dropped, trailing ones too
        self._error_code = ""

    def show(self, event: Event) -> int:
        """Write one event; the exit code it stands for, which only `end` makes non-zero."""
        if self._output.as_json:
            self._output.json(to_json(event))
            return self._exit_code(event)
        match event:
            case Progress():
                self._output.progress(
                    _STAGES.get(event.stage, event.stage), event.done, event.total, note=event.unit
                )
            case Thinking():
                self._write(event.text, PhaseName.THINKING)
            case Answer():
                self._write(event.text, PhaseName.ANSWER)
            case Notice():
                self._notice(event)
            case Error():
                self._close_line()
                self._output.error(event)
            case Load() if self._shows_memory:
                self._loaded(event)
            case Prompt() | Stats() if self._output.verbose:
                self._detail(event)
            case End():
                self._finish(event)
            case _:
                pass
        return self._exit_code(event)

    def _write(self, text: str, stream: PhaseName) -> None:
        if stream is not self._written:
            text = text.lstrip("\n")
            if not text:
                return
            self._switch_to(stream)
        kept = text.rstrip("\n")
        if kept:
            self._emit(self._blank + kept, stream)
            self._blank = ""
        self._blank += text[len(kept) :]

    def _switch_to(self, stream: PhaseName) -> None:
        if self._written is not None:
            self._close_line()
            if self._output.is_terminal:
                self._output.narrate("")
        self._written = stream
        self._blank = ""
        if self._labels:
            self._output.narrate(f"{stream.value}:", style="bold")

    def _emit(self, text: str, stream: PhaseName) -> None:
        if stream is self._stdout_stream:
            self._output.data(text, end="")
        elif stream is PhaseName.THINKING and self._thinking is ThinkingMode.SHOW:
            self._output.narrate(text, style="dim", end="")

    def _close_line(self) -> None:
        if self._written is not None:
            self._emit("\n", self._written)
            self._written = None
            self._blank = ""

    def _notice(self, notice: Notice) -> None:
        if notice.code == "plan_differs" and not self._shows_memory:
            return
        # it may come in the middle of a reply, and must not break a line that goes to a file
        if self._output.is_terminal or self._written is not self._stdout_stream:
            self._close_line()
        self._output.narrate(f"localr1: {safe_line(notice.message)}")

    def _loaded(self, event: Load) -> None:
        from localr1.plan.compare import Comparison
        from localr1.plan.explain import comparison_lines

        rows = [Comparison(**row) for row in event.measured["comparison"]]
        resident = format_bytes(event.measured["resident_bytes"])
        loaded = f"loaded in {format_duration(event.seconds)}, context {event.n_ctx}"
        for line in [*comparison_lines(rows), f"{loaded}, the engine holds {resident} of memory"]:
            self._output.narrate(line, style="dim")

    def _detail(self, event: Prompt | Stats) -> None:
        # in the middle of a reply: the stream that was being written goes on afterwards
        self._close_line()
        if isinstance(event, Prompt):
            self._output.detail(f"prompt: {event.n_tokens} tokens, {event.n_cached} cached")
        else:
            self._output.detail(_stats_line(event))

    def _finish(self, end: End) -> None:
        self._close_line()
        self._output.clear_progress()
        match end.state:
            case EndState.CUT_OFF:
                self._output.narrate(
                    f"localr1: stopped while thinking ({end.reason}); there is no answer"
                )
            case EndState.CANCELLED:
                self._output.narrate("localr1: stopped; the answer is incomplete")
            case _ if end.reason in {"length", "context"}:
                limit = "--max-tokens" if end.reason == "length" else "the end of the context"
                self._output.narrate(f"localr1: the answer was cut at {limit}")
            case _:
                pass

    def _exit_code(self, event: Event) -> int:
        match event:
            case Error():
                self._error_code = event.code
            case End(state=EndState.FAILED):
                code, self._error_code = self._error_code, ""
                return EXIT_CODE_OF.get(code, EXIT_UNEXPECTED)
            case End(state=EndState.CUT_OFF, reason="cancelled") | End(state=EndState.CANCELLED):
                return EXIT_INTERRUPTED
            case End(state=EndState.CUT_OFF):
                return EXIT_NO_ANSWER
            case _:
                pass
        return 0


def _stats_line(stats: Stats) -> str:
    line = (
        f"{stats.phase.value}: {stats.n_tokens} tokens in {format_duration(stats.seconds)}, "
        f"{stats.tokens_per_s:.1f} tokens/s"
    )
    if stats.time_to_first_token_s is not None:
        line += f", first token after {format_duration(stats.time_to_first_token_s)}"
    if stats.n_ctx_used is not None:
        line += f", {stats.n_ctx_used} tokens of context used"
    if stats.memory_bytes is not None:
        line += f", engine holds {format_bytes(stats.memory_bytes)}"
    return line
