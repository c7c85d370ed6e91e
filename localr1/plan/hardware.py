"""Owns what a plan has to be told of a machine: GPUs, memory, and what llama.cpp does not report.

That is how fast a device is, and what others take of its memory. Both are ranges: a data sheet
with the share of it that published runs reach, or a measurement on this machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from backends.device import Device, DeviceKind
from localr1.plan.ledger import Factor, What
from localr1.plan.rate import Rate
from localr1.plan.request import HostMemory

_CLEARLY_FASTER = 1.15

HOST = "CPU"
"""The name under which the machine itself is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of one device beside what llama.cpp reports."""

    rate: Rate | None = None
    taken_bytes: tuple[int, int] = (0, 0)
    """What others will take of the memory that is called free: from, to."""
    factors: Mapping[What, Factor] = field(default_factory=lambda: MappingProxyType({}))
    """What earlier loads say about sizes; only of devices that are here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """One machine, as far as a plan needs it."""

    gpus: tuple[Device, ...]
    """Those to load on, in llama.cpp's order; empty means the processor alone."""
    host: HostMemory
    known: Mapping[str, Known] = field(default_factory=lambda: MappingProxyType({}))
    """By the name of a device, or `HOST`."""

    def of(self, name: str) -> Known:
        """What is known of a device; nothing, if nobody said."""
        return self.known.get(name, Known())

    @property
    def is_remote(self) -> bool:
        """Whether no GPU shares memory of this machine; true without any GPU."""
        return all(gpu.kind is DeviceKind.RPC for gpu in self.gpus)

    @property
    def has_faster_gpu(self) -> bool:
        """Whether it is known that some GPU is clearly faster than another."""
        rates = _rates(self.gpus, self.known)
        return rates is not None and max(rates.values()) > _CLEARLY_FASTER * min(rates.values())


def choose_hardware(
    devices: Sequence[Device],
    host: HostMemory,
    known: Mapping[str, Known],
    wanted: str | None = None,
) -> Hardware:
    """The devices to load on; the fastest first, where that is known of all of them.

    Raises: DeviceNotFoundError if none is called `wanted`.
    """
    from backends.dispatch import choose_devices  # brings psutil along, which --help does not need

    gpus = choose_devices(devices, wanted)
    rates = _rates(gpus, known)
    if rates is not None:
        gpus = tuple(sorted(gpus, key=lambda gpu: -rates[gpu.name]))
    return Hardware(gpus=gpus, host=host, known=known)


def _rates(gpus: Sequence[Device], known: Mapping[str, Known]) -> dict[str, float] | None:
    found = {}
    for gpu in gpus:
        rate = known.get(gpu.name, Known()).rate
        if rate is None:
            return None
        found[gpu.name] = rate.bytes_per_s[1]
    return found or None
