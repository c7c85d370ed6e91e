"""Owns looking at memory while a model is talked to: a warning, with numbers, before it hurts.

llama.cpp reserves everything at load, so a long conversation does not outgrow its plan. What hurts
is other programs taking the memory that the model still needs: pages of the mapped file are thrown
out and read from the disk again for every token, and the cache is swapped. A GPU whose memory is
taken by others ends the engine at the next larger batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from enum import IntEnum

from localr1.events import Notice
from localr1.load_check import LoadCheck
from localr1.terminal_text import safe_line
from localr1.units import MIB, format_bytes
from localr1.worker.frames import DeviceMemory, GenerationEnd, GenerationFrame, MeasuredBuffer
from localr1.worker.vitals import MemoryNow

_LOOK_S = 2.0
_TIGHT_BYTES = 512 * MIB
_TIGHT_SHARE = 1 / 20  # of small machines
_TIGHT_DEVICE_BYTES = 256 * MIB  # what a driver takes at least (`localr1.plan.overhead`)


class Pressure(IntEnum):
    """How near it is."""

    NONE = 0
    TIGHT = 1
    SHORT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a loaded model needs of the machine's own memory, so that replies stay quick."""

    mapped_bytes: int
    """Weights in the file that is mapped: nobody swaps them, but they may be thrown out."""
    own_bytes: int
    """Everything else: cache, compute, copies of weights, the process itself."""

    def missing_bytes(self, now: MemoryNow) -> int:
        """What of the available memory is spoken for.

        Linux calls all mapped pages available; elsewhere those that are in use are not.
        """
        if now.own_bytes is None:
            return max(self.mapped_bytes + self.own_bytes - now.resident_bytes, 0)
        return self.mapped_bytes + max(self.own_bytes - now.own_bytes, 0)


def claim_of(
    buffers: Iterable[MeasuredBuffer],
    *,
    unused_bytes: int,
    process_bytes: int,
    unified: Collection[str] = (),
) -> Claim:
    """What a load took of the machine's own memory, which `unified` devices share.

    `unused_bytes` are mapped and never read again.
    """
    mapped_bytes = own_bytes = 0
    for buffer in buffers:
        device, _, kind = buffer.device.partition("_")
        if kind == "Host" or device in {"CPU", *unified}:
            if kind == "Mapped":
                mapped_bytes += buffer.n_bytes
            else:
                own_bytes += buffer.n_bytes
    return Claim(
        mapped_bytes=max(mapped_bytes - unused_bytes, 0), own_bytes=own_bytes + process_bytes
    )


def pressure(spare_bytes: int, total_bytes: int) -> Pressure:
    """How near it is, by what is left beside what the model needs."""
    if spare_bytes < 0:
        return Pressure.SHORT
    is_tight = spare_bytes < min(_TIGHT_BYTES, total_bytes * _TIGHT_SHARE)
    return Pressure.TIGHT if is_tight else Pressure.NONE


class MemoryWatch:
    """Warns once per level and load; called with every frame of every reply."""

    def __init__(
        self,
        claim: Claim,
        look: Callable[[], MemoryNow | None],
        check: LoadCheck | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._claim = claim
        self._look = look
        self._check = check
        self._clock = clock
        self._told = Pressure.NONE
        self._told_devices: set[str] = set()
        self._looked_s = float("-inf")

    def see(self, frame: GenerationFrame) -> list[Notice]:
        """What is to be said at this point of a reply; usually nothing."""
        notices: list[Notice] = []
        if isinstance(frame, GenerationEnd):
            notices += self._ended(frame)
        elif self._clock() - self._looked_s < _LOOK_S:
            return notices
        self._looked_s = self._clock()
        return notices + self._looked(self._look())

    def _ended(self, end: GenerationEnd) -> list[Notice]:
        notices = [notice for device in end.devices if (notice := self._device(device))]
        if self._check is not None and end.resident_bytes:
            notices += self._check.after_first_run(end.resident_bytes)
            self._check = None
        return notices

    def _looked(self, now: MemoryNow | None) -> list[Notice]:
        if now is None:
            return []
        missing_bytes = self._claim.missing_bytes(now)
        level = pressure(now.available_bytes - missing_bytes, now.total_bytes)
        if level <= self._told:
            return []
        self._told = level
        return [Notice(code="memory_pressure", message=_words(level, now, missing_bytes))]

    def _device(self, device: DeviceMemory) -> Notice | None:
        if device.free_bytes >= _TIGHT_DEVICE_BYTES or device.name in self._told_devices:
            return None
        self._told_devices.add(device.name)
        left = f"{safe_line(device.name)} has {format_bytes(device.free_bytes)} left"
        why = "if another program takes it, the engine ends; close what uses the GPU"
        return Notice(code="memory_pressure", message=f"{left}: {why}")


def _words(level: Pressure, now: MemoryNow, missing_bytes: int) -> str:
    available, missing = format_bytes(now.available_bytes), format_bytes(missing_bytes)
    if level is Pressure.TIGHT:
        spare = format_bytes(now.available_bytes - missing_bytes)
        return (
            f"memory is getting tight: {available} available, the model needs {missing} of it to "
            f"stay quick, {spare} is left; close something"
        )
    return (
        f"memory is short: {available} available, the model needs {missing} of it; replies become "
        "slow as it is swapped or read again; close something, or start with less --ctx"
    )
