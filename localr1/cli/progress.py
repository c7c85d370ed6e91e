"""Owns how the progress of long work is told: a bar on a terminal, `progress` events in JSON.

One shape for every stage of every verb. An event comes at the start and at the end of a stage, and
twice a second in between; rates count from where this run found the stage.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from localr1.cli.output import Output
from localr1.events import Progress, to_json
from localr1.units import format_bytes

_EVENT_EVERY_S = 0.5
_LABELS = {
    "fetch": "fetching",
    "convert": "converting",
    "tensors": "verifying: checking tensors",
    "source": "verifying: reading the source",
    "predictions": "verifying: comparing predictions",
}


@dataclass(slots=True)
class _Stage:
    """When and where a stage was first seen, and last told."""

    began_s: float
    done_before: float
    weights_before: int
    told_s: float
    told: float


class ProgressTeller:
    """Tells the stages of one run, which may overlap."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._stages: dict[str, _Stage] = {}

    def show(self, event: Progress, *, note: str = "") -> None:
        """Draw a bar, or print the event if it is time to; `note` stands behind the bar."""
        rated = self.tell(event)
        notes = []
        if event.unit == "bytes" and event.stage == "fetch":
            notes.append(f"of {format_bytes(event.total)}")
        if event.unit == "bytes" and rated.per_s is not None:
            notes.append(f"{rated.per_s / 1e6:.0f} MB/s")
        if rated.weights_per_s is not None:
            notes.append(f"{rated.weights_per_s / 1e6:.0f} M weights/s")
        label = _LABELS.get(event.stage, event.stage)
        self._output.progress(label, event.done, event.total, note=", ".join(notes) + note)

    def tell(self, event: Progress) -> Progress:
        """Print the event if it is time to, and draw nothing; returns it with its rates."""
        now_s = self._output.elapsed_s
        stage = self._stages.get(event.stage)
        is_due = stage is None or stage.told < event.done >= event.total
        if stage is None:
            stage = _Stage(now_s, event.done, event.n_weights_done or 0, now_s, event.done)
            self._stages[event.stage] = stage
        event = _rated(event, stage, now_s)
        if self._output.as_json and (is_due or now_s - stage.told_s >= _EVENT_EVERY_S):
            stage.told_s, stage.told = now_s, event.done
            self._output.json(to_json(event))
        return event


def _rated(event: Progress, stage: _Stage, now_s: float) -> Progress:
    event = dataclasses.replace(event, t=round(now_s, 3))
    seconds, done = now_s - stage.began_s, event.done - stage.done_before
    if seconds <= 0 or done <= 0:
        return event
    rated = dataclasses.replace(
        event,
        per_s=round(done / seconds, 3),
        left_s=round((event.total - event.done) * seconds / done, 1),
    )
    if event.n_weights_done is None:
        return rated
    n_weights = event.n_weights_done - stage.weights_before
    return dataclasses.replace(rated, weights_per_s=round(n_weights / seconds))
