"""Owns the numbers on screen: what a phase has taken so far, what the engine holds in memory.

Time comes from the events, never from a clock: what is shown is what the engine measured, and a
recorded conversation always looks the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from localr1.events import Answer, Event, Phase, PhaseName, Stats, Thinking
from localr1.units import format_duration

_PLANNED = ("weights_bytes", "kv_bytes", "recurrent_bytes", "compute_bytes", "output_bytes")


@dataclass(slots=True)
class PhaseMeter:
    """Time, tokens and speed of one phase of a reply; frozen by its `stats` event."""

    phase: PhaseName
    n_tokens: int = 0
    seconds: float = 0.0
    tokens_per_s: float = 0.0
    first_token_s: float | None = None
    started_s: float | None = None

    def see(self, event: Event) -> None:
        """Count the event if it belongs to this phase."""
        match event:
            case Phase(phase=phase) if phase is self.phase:
                self.started_s = event.t
            case Thinking() if self.phase is PhaseName.THINKING:
                self._count(event)
            case Answer() if self.phase is PhaseName.ANSWER:
                self._count(event)
            case Stats(phase=phase) if phase is self.phase:
                self.n_tokens = event.n_tokens
                self.seconds = event.seconds
                self.tokens_per_s = event.tokens_per_s
                self.first_token_s = event.time_to_first_token_s

    def _count(self, event: Thinking | Answer) -> None:
        if self.started_s is None:
            self.started_s = event.t
        self.n_tokens += event.n_tokens
        self.seconds = event.t - self.started_s
        self.tokens_per_s = self.n_tokens / self.seconds if self.seconds > 0 else 0.0

    @property
    def text(self) -> str:
        """`Thinking 41 s · 3,912 tok · 95 tok/s`; only the name before it has begun."""
        name = self.phase.value.capitalize()
        if not self.n_tokens:
            return name
        parts = [f"{name} {format_duration(self.seconds)}", f"{self.n_tokens:,} tok"]
        if self.tokens_per_s:
            parts.append(format_speed(self.tokens_per_s))
        if self.phase is PhaseName.ANSWER and self.first_token_s is not None:
            parts.append(f"first token {format_duration(self.first_token_s)}")
        return " · ".join(parts)


def format_speed(tokens_per_s: float) -> str:
    """Tokens per second, with a decimal below ten."""
    digits = 1 if tokens_per_s < 10 else 0
    return f"{tokens_per_s:.{digits}f} tok/s"


def predicted_bytes(plan: Mapping[str, Any]) -> int | None:
    """What the plan expects all devices and the host to hold; None if it does not say."""
    places = [*plan.get("devices", ()), plan.get("host") or {}]
    sizes = [place.get(key) for place in places for key in _PLANNED]
    known = [size for size in sizes if isinstance(size, int)]
    return sum(known) if known else None


def measured_bytes(measured: Mapping[str, Any]) -> int | None:
    """What llama.cpp allocated, all buffers together; None if it was not measured."""
    return sum(int(buffer["n_bytes"]) for buffer in measured.get("buffers", ())) or None
