"""Owns laying a plan beside what llama.cpp really allocated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from localr1.plan.corrected import BUFFERS, PROCESS, formula_bytes, size_of
from localr1.plan.device_plan import DevicePlan
from localr1.plan.ledger import NOT_WORTH_A_WORD
from localr1.plan.memory_plan import MemoryPlan
from localr1.units import MIB

_ROUNDING_BYTES = MIB // 100  # logs print two decimals of a MiB, at most two lines per purpose
_SMALL_BYTES = 8 * MIB  # nobody's plan fails by that; tiny models are off by it easily


class Buffer(Protocol):
    """One allocation as the engine reports it; `localr1.worker.frames.MeasuredBuffer` is one."""

    @property
    def device(self) -> str:
        """The log's name of the buffer: `CPU_Mapped`, `CUDA0` ..."""
        ...

    @property
    def purpose(self) -> str:
        """`weights`, `kv`, `recurrent`, `compute` or `output`."""
        ...

    @property
    def n_bytes(self) -> int:
        """Its size; logs print it to 0.01 MiB."""
        ...


@dataclass(frozen=True, slots=True)
class Comparison:
    """One purpose on one device: the plan's word and the engine's."""

    purpose: str
    device: str
    predicted_bytes: int
    measured_bytes: int

    @property
    def difference(self) -> float:
        """How far the plan is off, as a share of what was measured; positive means too high."""
        off_bytes = self.predicted_bytes - self.measured_bytes
        return 0.0 if abs(off_bytes) <= _ROUNDING_BYTES else off_bytes / max(self.measured_bytes, 1)

    @property
    def is_off(self) -> bool:
        """Whether people should hear of it; a buffer that the log does not name is not off."""
        off_bytes = self.measured_bytes - self.predicted_bytes
        if self.purpose == PROCESS:
            off_bytes = max(off_bytes, 0)  # the plan names the most it may take
        least_bytes = max(_SMALL_BYTES, NOT_WORTH_A_WORD * self.predicted_bytes)
        return self.measured_bytes > 0 and abs(off_bytes) > least_bytes

    def to_json(self) -> dict[str, Any]:
        """For the `load` event and `--json`."""
        return {
            "purpose": self.purpose,
            "device": self.device,
            "predicted_bytes": self.predicted_bytes,
            "measured_bytes": self.measured_bytes,
        }


def compare(plan: MemoryPlan, buffers: Iterable[Buffer]) -> tuple[Comparison, ...]:
    """Predicted beside measured, per device and purpose; what both leave empty is left out.

    Several buffers of one purpose add up: a mapped file and its repacked copy, or the two caches
    of a model with sliding windows.
    """
    measured: Counter[tuple[str, str]] = Counter()
    names = {place.name: place for place in plan.places}
    for buffer in buffers:
        measured[_place_of(buffer.device, names), buffer.purpose] += buffer.n_bytes
    predicted = {
        (place.name, purpose): getattr(place, f"{purpose}_bytes")
        for place in plan.places
        for purpose in BUFFERS
    }
    keys = [*predicted, *(key for key in measured if key not in predicted)]
    return tuple(
        Comparison(purpose, device, predicted.get((device, purpose), 0), measured[device, purpose])
        for device, purpose in keys
        if predicted.get((device, purpose)) or measured[device, purpose]
    )


def compare_process(
    plan: MemoryPlan, buffers: Iterable[Buffer], resident_bytes: int, unified: Collection[str] = ()
) -> Comparison:
    """What the process takes beside its buffers, against the most that was planned.

    Less than that is no error: pages of a mapped file come and go. `unified` are devices whose
    memory is the host's, so that their buffers count as the process's own.
    """
    names = {place.name: place for place in plan.places}
    own = {plan.host.name, *unified}
    held_bytes = sum(b.n_bytes for b in buffers if _place_of(b.device, names) in own)
    beside_bytes = max(resident_bytes - held_bytes, formula_bytes(plan.host, PROCESS))
    return Comparison(PROCESS, plan.host.name, size_of(plan.host, PROCESS), beside_bytes)


def _place_of(buffer_name: str, names: dict[str, DevicePlan]) -> str:
    """`CUDA0` for `CUDA0`, the host for `CUDA_Host`, `CPU_Mapped` and `CPU_REPACK`."""
    if buffer_name in names:
        return buffer_name
    stem, _, kind = buffer_name.partition("_")
    if kind == "Host":
        return "CPU"
    return stem if stem in names else buffer_name
