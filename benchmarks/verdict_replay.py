"""Owns the replay of verdicts: whether the plan would have let published loads through.

A load is replayed on devices with the memory that they had, everything else as it was. A load that
worked should not be refused; one that ran out of memory must not be called fitting.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks.planned_loads import PlannedLoad
from benchmarks.published_loads import Load
from localr1.plan.device_plan import DevicePlan
from localr1.units import MIB


@dataclass(frozen=True, slots=True)
class Replay:
    """One verdict beside what happened."""

    load: Load
    tightest: DevicePlan

    @property
    def fits(self) -> bool:
        """What the plan says."""
        return self.tightest.failing_stage is None

    @property
    def is_right(self) -> bool:
        """Whether the plan says what happened."""
        return self.fits is not self.load.ran_out

    def __str__(self) -> str:
        place, stage = self.tightest, self.tightest.failing_stage
        said = f"would fail at {stage}" if stage else "fits"
        happened = (
            f"ran out at {self.load.text('oom_stage') or '?'}" if self.load.ran_out else "worked"
        )
        room = f"{place.margin_bytes / MIB:.0f} of {place.limit_bytes / MIB:.0f} MiB"
        name = f"{self.load.id:8} {self.load.text('arch'):10}"
        return f"{name} {said}, {room} left on {place.name}; {happened}"


def replay(planned: PlannedLoad) -> Replay | None:
    """The verdict on one load; None where the memory of a device is not known."""
    if not planned.machine.is_limited or not planned.devices:
        return None
    return Replay(planned.load, min(planned.devices, key=lambda device: device.margin_bytes))


def report(replays: Iterable[Replay]) -> tuple[str, dict[str, int]]:
    """The two counts in words and by name, and every verdict that is wrong."""
    all_of = list(replays)
    worked = [one for one in all_of if not one.load.ran_out]
    failed = [one for one in all_of if one.load.ran_out]
    counts = {
        "worked": len(worked),
        "worked_and_not_refused": sum(one.is_right for one in worked),
        "out_of_memory": len(failed),
        "out_of_memory_called_fits": sum(not one.is_right for one in failed),
    }
    n_right, n_wrong = counts["worked_and_not_refused"], counts["out_of_memory_called_fits"]
    share = f"{n_right / len(worked):.0%}; at least 95 % asked" if worked else "none to replay"
    lines = [
        f"loads that worked and are not refused: {n_right} of {len(worked)} ({share})",
        f"out-of-memory loads called fits: {n_wrong} of {len(failed)}",
        *(f"    {one}" for one in all_of if not one.is_right),
    ]
    return "\n".join(lines), counts
