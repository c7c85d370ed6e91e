"""Owns the state of a reply as its events build it: what every skin draws.

`reduce(turn, event)` is a pure function. A `Turn` is immutable, yet a reply of n pieces costs O(n):
`Text` shares one growing list between its versions, and the string is joined when it is asked for.
Trimming happens here and only for display: the newlines that models write around their tags, never
blanks, which may indent a code block.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

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


@dataclass(frozen=True, slots=True, eq=False)
class Text:
    """An append-only text; earlier versions keep their length when a later one grows."""

    _parts: list[str] = field(default_factory=list)
    _n_parts: int = 0

    def append(self, text: str) -> Text:
        """A new version with the text at its end. Amortised O(1) on the newest version."""
        parts = self._parts
        if len(parts) != self._n_parts:  # someone else has appended to this version: fork
            parts = parts[: self._n_parts]
        parts.append(text)
        return Text(parts, len(parts))

    def __str__(self) -> str:
        return "".join(self._parts[: self._n_parts])

    def __bool__(self) -> bool:
        return any(self._parts[: self._n_parts])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Text) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    @property
    def for_display(self) -> str:
        """Without the newlines around it; empty when nothing but blanks is there."""
        text = str(self)
        return text.strip("\r\n") if text.strip() else ""


@dataclass(frozen=True, slots=True)
class Turn:
    """One reply so far."""

    thinking: Text = field(default_factory=Text)
    answer: Text = field(default_factory=Text)
    phase: PhaseName | None = None
    """None before the prompt is being read."""
    progress: Progress | None = None
    """Loading or prompt reading, while it lasts."""
    load: Load | None = None
    prompt: Prompt | None = None
    n_thinking_tokens: int = 0
    n_answer_tokens: int = 0
    stats: tuple[Stats, ...] = ()
    notices: tuple[Notice, ...] = ()
    error: Error | None = None
    end: End | None = None

    @property
    def state(self) -> EndState | None:
        """How the reply ended; None while it runs."""
        return self.end.state if self.end else None

    @property
    def is_running(self) -> bool:
        """The reply has not ended."""
        return self.end is None

    def stats_of(self, phase: PhaseName) -> Stats | None:
        """What a finished phase took."""
        return next((stats for stats in self.stats if stats.phase is phase), None)


def reduce(turn: Turn, event: Event) -> Turn:
    """The turn after the event. Events it does not know leave it as it is."""
    if isinstance(event, Thinking):
        n_tokens = turn.n_thinking_tokens + event.n_tokens
        thinking = turn.thinking.append(event.text)
        return dataclasses.replace(turn, thinking=thinking, n_thinking_tokens=n_tokens)
    if isinstance(event, Answer):
        n_tokens = turn.n_answer_tokens + event.n_tokens
        answer = turn.answer.append(event.text)
        return dataclasses.replace(turn, answer=answer, n_answer_tokens=n_tokens)
    return dataclasses.replace(turn, **_changes(turn, event))


def _changes(turn: Turn, event: Event) -> dict[str, Any]:
    """The fields of a turn that an event without text sets."""
    changes: dict[str, Any] = {}
    match event:
        case Progress(stage=stage):
            changes = {"progress": event}
            if stage == "prompt":
                changes["phase"] = PhaseName.PROMPT
        case Load():
            changes = {"load": event, "progress": None}
        case Prompt():
            changes = {"prompt": event}
        case Phase(phase=phase):
            changes = {"phase": phase, "progress": None}
        case Stats():
            changes = {"stats": (*turn.stats, event)}
        case Notice():
            changes = {"notices": (*turn.notices, event)}
        case Error():
            changes = {"error": event}
        case End():
            changes = {"end": event, "progress": None}
    return changes
