"""Owns the status line: what is happening, with which model, at what cost."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from textual.content import Content
from textual.widgets import Static

from localr1.events import Progress
from localr1.terminal_text import safe_line
from localr1.units import format_bytes
from tui.meters import format_speed

_SHORTEST_NAME = 8
_BAR_CELLS = 16


class Activity(StrEnum):
    """What the engine is doing, in the words of the status line."""

    LOADING = "loading"
    READING = "reading prompt"
    THINKING = "thinking"
    ANSWERING = "answering"
    STOPPING = "stopping"
    READY = "ready"
    FAILED = "failed"


_STYLES = {Activity.READY: "$text-success", Activity.FAILED: "$text-error"}


@dataclass(frozen=True, slots=True)
class Status:
    """Everything that the line shows; None leaves its part out."""

    activity: Activity
    model: str
    progress: Progress | None = None
    hint: str = ""
    """Takes the place of the activity until something happens."""
    n_ctx_used: int | None = None
    n_ctx: int | None = None
    tokens_per_s: float | None = None
    resident_bytes: int | None = None
    """What the engine's process holds."""
    buffer_bytes: int | None = None
    """What llama.cpp allocated for the model: what the plan predicts."""
    planned_bytes: int | None = None


class StatusLine(Static):
    """One line at the bottom; written only when it changes."""

    def __init__(self, *, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id, markup=False)
        self._shown: tuple[Status, int] | None = None

    def show(self, status: Status) -> None:
        """Draw the status if it differs from what is shown."""
        state = (status, self.size.width)
        if state != self._shown:
            self._shown = state
            self.update(draw_status(status, self.size.width), layout=False)


def draw_status(status: Status, width: int) -> Content:
    """The line: the activity on the left, the numbers on the right as far as there is room."""
    if status.hint:
        left = Content.styled(safe_line(status.hint), "$text-warning")
    else:
        left = Content.styled(f"● {status.activity.value}", _STYLES.get(status.activity, "$text"))
        left += Content.styled(_progress(status.progress), "$text")
    model = safe_line(status.model)
    numbers = [_context(status), _speed(status), _resident(status), _buffers(status)]
    shown = [part for part in (model, *numbers) if part]
    while shown and (excess := left.cell_length + len(" · ".join(shown)) + 2 - width) > 0:
        # the name gives way first, then what is said last
        if shown[0] == model and len(model) - excess >= _SHORTEST_NAME and not status.hint:
            shown[0] = model[: len(model) - excess - 1] + "…"
        else:
            shown.pop(0 if len(shown) > 1 and status.hint else -1)
    right = Content.styled(" · ".join(shown), "$text-muted")
    return left + Content(" " * max(width - left.cell_length - right.cell_length, 1)) + right


def _progress(progress: Progress | None) -> str:
    if progress is None or progress.total <= 0:
        return ""
    share = min(progress.done / progress.total, 1.0)
    if progress.stage == "load":
        filled = round(share * _BAR_CELLS)
        return f" {'█' * filled}{'░' * (_BAR_CELLS - filled)} {share:.0%}"
    return f" {progress.done:,.0f}/{progress.total:,.0f}"


def _context(status: Status) -> str:
    if status.n_ctx is None:
        return ""
    return f"ctx {status.n_ctx_used or 0:,}/{status.n_ctx:,}"


def _speed(status: Status) -> str:
    return format_speed(status.tokens_per_s) if status.tokens_per_s else ""


def _resident(status: Status) -> str:
    if status.resident_bytes is None:
        return ""
    return f"mem {format_bytes(status.resident_bytes)}"


def _buffers(status: Status) -> str:
    if status.buffer_bytes is None:
        return ""
    text = f"model {format_bytes(status.buffer_bytes)}"
    if status.planned_bytes is not None:
        text += f" (plan {format_bytes(status.planned_bytes)})"
    return text
