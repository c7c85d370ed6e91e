"""Owns what earlier loads on this machine teach the next plan. Pure: `localr1.ledger` keeps them.

What a size is off by is learned apart for each engine version, device, architecture and purpose,
and for the one setting that decides the size: a compute buffer with flash attention says nothing
about one without.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from backends.device import Device, DeviceKind

NOT_WORTH_A_WORD = 0.05
"""Share by which a plan may be off before anybody hears of it."""

_VERSION = 1
_N_LOADS = 5  # the last ones count; older ones may be of another driver
_LARGEST_FACTOR = 16.0  # beyond it is no formula that is off, but a line that was damaged
_MAX_CHARS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """One kind of device under one version of the engine."""

    engine: str
    """Version of llama-cpp-python."""
    kind: DeviceKind
    device: str
    """What the driver, or the processor, calls itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class What:
    """One purpose, and what its size hangs on beside the model's shape."""

    arch: str
    purpose: str
    setting: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One buffer of one load."""

    where: Where
    what: What
    planned_bytes: int
    """What the formulas said, without any correction."""
    measured_bytes: int

    @property
    def ratio(self) -> float:
        """By what the formulas must be multiplied to be right here."""
        return self.measured_bytes / self.planned_bytes

    def to_json(self) -> dict[str, Any]:
        """One flat object for the ledger."""
        sizes = {"planned_bytes": self.planned_bytes, "measured_bytes": self.measured_bytes}
        return {"version": _VERSION, **asdict(self.where), **asdict(self.what), **sizes}


@dataclass(frozen=True, slots=True)
class Factor:
    """What a size is multiplied by, and how many loads say so."""

    value: float
    n_loads: int


@dataclass(frozen=True, slots=True)
class Correction:
    """One size of a plan that was multiplied."""

    purpose: str
    planned_bytes: int
    """What the formulas say."""
    factor: Factor

    def to_json(self) -> dict[str, Any]:
        """For the plan's document."""
        return {
            "purpose": self.purpose,
            "planned_bytes": self.planned_bytes,
            "factor": round(self.factor.value, 4),
            "n_loads": self.factor.n_loads,
        }


def places(devices: Iterable[Device], engine: str) -> dict[str, Where]:
    """What the devices of this machine, the processor among them, are learned under, by name."""
    return {
        device.name: Where(engine=engine, kind=device.kind, device=device.description)
        for device in devices
    }


def entry_from_json(document: Any) -> Entry | None:
    """What `Entry.to_json` made; None for anything else, also for sizes that make no sense."""
    try:
        if document["version"] != _VERSION:
            return None
        entry = Entry(
            where=Where(
                engine=_text(document["engine"]),
                kind=DeviceKind(document["kind"]),
                device=_text(document["device"]),
            ),
            what=What(
                arch=_text(document["arch"]),
                purpose=_text(document["purpose"]),
                setting=_text(document["setting"]),
            ),
            planned_bytes=_size(document["planned_bytes"]),
            measured_bytes=_size(document["measured_bytes"]),
        )
    except (KeyError, TypeError, ValueError):
        return None
    return entry if is_believable(entry) else None


def is_believable(entry: Entry) -> bool:
    """Whether a formula can be off by as much; what was not planned at all teaches no factor."""
    planned_bytes, measured_bytes = entry.planned_bytes, entry.measured_bytes
    low, high = sorted((planned_bytes, measured_bytes))
    return low > 0 and high <= _LARGEST_FACTOR * low


def factors_at(where: Where, entries: Iterable[Entry]) -> dict[What, Factor]:
    """What the last loads on such a device say; `entries` come in the order in which they were.

    The median of them, where the plan was too low. Where it was too high, the highest: a plan that
    promises too much costs more than one that is careful.
    """
    ratios: defaultdict[What, list[float]] = defaultdict(list)
    for entry in entries:
        if entry.where == where:
            ratios[entry.what].append(entry.ratio)
    factors = {}
    for what, every in ratios.items():
        last = every[-_N_LOADS:]
        value = statistics.median(last)
        if value < 1:
            value = min(max(last), 1.0)
        if abs(value - 1) > NOT_WORTH_A_WORD:
            factors[what] = Factor(value, len(last))
    return factors


def notes(corrections: Mapping[str, Iterable[Correction]]) -> list[str]:
    """What was corrected, by the names of devices, in sentences."""
    return [
        f"{item.purpose} on {name} was {words(item.factor.value)} than planned "
        f"in {item.factor.n_loads} load{'s' if item.factor.n_loads > 1 else ''} here: counted"
        for name, items in corrections.items()
        for item in items
    ]


def words(ratio: float) -> str:
    """`12 % more`, `7 % less`."""
    return f"{abs(ratio - 1):.0%} {'more' if ratio > 1 else 'less'}".replace("%", " %")


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > _MAX_CHARS:
        raise ValueError(value)
    return value


def _size(value: Any) -> int:
    if type(value) is not int:  # neither true nor 1.5
        raise TypeError(value)
    return value
