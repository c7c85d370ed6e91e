"""Owns what is made of a load that took other memory than planned: a notice, and ledger entries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from localr1.events import Notice
from localr1.ledger import remember
from localr1.plan.compare import Comparison, compare, compare_process
from localr1.plan.corrected import formula_bytes, subject
from localr1.plan.ledger import Entry, is_believable, places, words
from localr1.plan.memory_plan import MemoryPlan
from localr1.terminal_text import safe_line
from localr1.units import format_bytes
from localr1.worker.frames import EngineInfo, MeasuredBuffer


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadCheck:
    """One load beside its plan."""

    plan: MemoryPlan
    info: EngineInfo
    buffers: tuple[MeasuredBuffer, ...]
    remember: Callable[[Iterable[Entry]], bool] = remember

    def after_load(self) -> list[Notice]:
        """One notice at most, about all buffers in llama.cpp's log that are off."""
        return self._checked(compare(self.plan, self.buffers))

    def after_first_run(self, resident_bytes: int) -> list[Notice]:
        """The same about the process, which has its full size once a prompt has been read."""
        shared = {device.name for device in self.info.devices if device.is_unified}
        return self._checked([compare_process(self.plan, self.buffers, resident_bytes, shared)])

    def _checked(self, rows: Sequence[Comparison]) -> list[Notice]:
        entries = [entry for row in rows if (entry := self._entry(row)) is not None]
        is_kept = bool(entries) and self.remember(entries)
        off = [_words(row) for row in rows if row.is_off]
        if not off:
            return []
        then = "; the next plan counts with it" if is_kept else ""
        return [Notice(code="plan_differs", message="; ".join(off) + then)]

    def _entry(self, row: Comparison) -> Entry | None:
        """What is off, and what was corrected: so that a correction can be unlearned."""
        where = places(self.info.devices, self.info.llama_cpp_python).get(row.device)
        place = next((place for place in self.plan.places if place.name == row.device), None)
        if where is None or place is None or not row.measured_bytes:
            return None
        if not row.is_off and row.purpose not in {item.purpose for item in place.corrections}:
            return None
        entry = Entry(
            where=where,
            what=subject(row.purpose, self.plan.card, self.plan.request),
            planned_bytes=formula_bytes(place, row.purpose),
            measured_bytes=row.measured_bytes,
        )
        return entry if is_believable(entry) else None


def _words(row: Comparison) -> str:
    took = f"{row.purpose} on {safe_line(row.device)} took {format_bytes(row.measured_bytes)}"
    if not row.predicted_bytes:
        return f"{took}, which was not planned"
    return f"{took}, {words(row.measured_bytes / row.predicted_bytes)} than planned"
