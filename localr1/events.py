"""Owns the event stream: what every skin, `--json` and the journal on disk are made of.

One flat, frozen dataclass per event; `to_json` gives the object of design section 3.2: a `type`,
a `t` (seconds since the request began) and the fields. Skins never see `<think>`: text arrives as
`thinking` or `answer`. Fields are only ever added.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class PhaseName(StrEnum):
    """What the model is doing."""

    PROMPT = "prompt"
    THINKING = "thinking"
    ANSWER = "answer"


class EndState(StrEnum):
    """How a reply ended; the words of design section 3.2."""

    ANSWERED = "answered"  # the model closed its thinking and answered
    FORCED = "forced"  # thinking was closed by a budget or by the user
    CUT_OFF = "cut_off"  # length or cancel inside thinking: there is no answer
    NEVER_OPENED = "never_opened"  # the model answered without thinking
    CANCELLED = "cancelled"  # the user stopped the answer
    FAILED = "failed"  # an `error` event came before


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base of all events."""

    t: float = 0.0
    """Seconds since the request began."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress(Event):
    """Long work moved on; `unit` is what is counted, empty for a share of 1.

    `stage` is "load" or "prompt" of a reply, "measure" of `imatrix`, "fetch", "convert", "tensors",
    "source" or "predictions" of `convert` and `verify`.
    """

    stage: str
    done: float
    total: float
    unit: str = ""
    per_s: float | None = None
    """Units per second since this run began the stage."""
    left_s: float | None = None
    """Seconds until the stage is done, at that speed."""
    n_weights_done: int | None = None
    """Of a conversion: by this run alone."""
    weights_per_s: float | None = None
    tensor: str | None = None
    """Of a conversion: the one that was written last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load(Event):
    """The model is ready; `plan` is the plan as JSON, `measured` what llama.cpp allocated."""

    model: str
    n_ctx: int
    devices: tuple[dict[str, Any], ...]
    plan: dict[str, Any]
    measured: dict[str, Any]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt(Event):
    """The prompt was read: its length, and how much of it was still in the KV cache."""

    n_tokens: int
    n_cached: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase(Event):
    """The reply enters thinking or the answer."""

    phase: PhaseName


@dataclass(frozen=True, slots=True, kw_only=True)
class Thinking(Event):
    """A piece of the thought. `n_tokens` counts the tokens that made it."""

    text: str
    n_tokens: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Event):
    """A piece of the answer. `n_tokens` counts the tokens that made it."""

    text: str
    n_tokens: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats(Event):
    """One finished phase. The last one of a reply carries the totals as well."""

    phase: PhaseName
    n_tokens: int
    seconds: float
    tokens_per_s: float
    time_to_first_token_s: float | None = None
    n_ctx_used: int | None = None
    memory_bytes: int | None = None
    """Resident size of the engine's process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice(Event):
    """Something was dropped, degraded or retried, and why."""

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Error(Event):
    """A typed failure; `code` is that of an error class."""

    code: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class End(Event):
    """The last event of a reply."""

    state: EndState
    reason: str = ""
    """Why generation stopped: "eog", "stop", "length", "context", "cancelled" or "error"."""
    detail: dict[str, Any] = field(default_factory=dict)


_NAMES: dict[type[Event], str] = {
    cls: cls.__name__.lower()
    for cls in (Progress, Load, Prompt, Phase, Thinking, Answer, Stats, Notice, Error, End)
}


def to_json(event: Event) -> dict[str, Any]:
    """The event as one JSON object with `type` first; fields that are None are left out."""
    values = {f.name: getattr(event, f.name) for f in dataclasses.fields(event)}
    named = {key: value for key, value in values.items() if value is not None and key != "t"}
    return {"type": _NAMES[type(event)], "t": round(event.t, 4), **named}
