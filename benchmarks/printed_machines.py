"""Owns the machine that a published load ran on: its devices, and how much of each there was.

What was free counts, as the log prints it; else what the device has; else what Metal allows; else
the memory that cards of that name are sold with, less what a driver and a desktop take of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from backends.device import Device, DeviceKind
from benchmarks.published_loads import Load
from localr1.hardware.catalogue import profiles
from localr1.hardware.machine import SHOWN_SHARE
from localr1.plan.hardware import Hardware, Known
from localr1.plan.request import HostMemory
from localr1.units import GIB, MIB

PLENTY = 2**50
"""Bytes of a device or machine of which nothing is printed."""

_KINDS = {
    "CUDA": DeviceKind.CUDA,
    "ROCm": DeviceKind.ROCM,
    "Vulkan": DeviceKind.VULKAN,
    "SYCL": DeviceKind.SYCL,
    "MTL": DeviceKind.METAL,
    "Metal": DeviceKind.METAL,
    "RPC": DeviceKind.RPC,
}
_METAL_MB = 1e6  # the working set is printed in millions of bytes
_SEVERAL = re.compile(r"(\d{1,2})x (.+)")
_STATED_GIB = re.compile(r"(\d{1,3}) ?GB\b", re.IGNORECASE)
_MAKERS = re.compile(r"\b(NVIDIA|GeForce|AMD|Radeon|GPU|Generation)\b", re.IGNORECASE)
# cards that no desktop is drawn on, in GiB
_WORKSTATION_GIB = {
    "a100": 40,
    "h100": 80,
    "l4": 24,
    "l40": 48,
    "l40s": 48,
    "pro-vii": 16,
    "pro-w7900": 48,
    "quadro-p6000": 24,
    "rtx-6000-ada": 48,
    "rtx-a4000": 16,
    "rtx-a5000": 24,
    "rtx-a6000": 48,
    "tesla-p40": 24,
    "tesla-t4": 16,
    "tesla-v100": 16,
    "vii": 16,
}


@dataclass(frozen=True, slots=True)
class Machine:
    """What a load ran on."""

    hardware: Hardware
    is_limited: bool = field(default=False)
    """Whether the memory of every device is known."""


def machine_of(load: Load) -> Machine:
    """The devices in llama.cpp's order. Memory of the machine itself is never printed: plenty."""
    devices, known, is_limited = [], {}, True
    names = _card_names(load)
    for name in load.device_names:
        free_bytes, taken_bytes = _memory(load, name, names.get(name, ""))
        is_limited = is_limited and free_bytes is not None
        n_bytes = PLENTY if free_bytes is None else free_bytes
        kind = _kind(name, load.text("backend"))
        # where the whole machine is plenty, nothing is gained by one memory for both
        devices.append(Device(name, kind, names.get(name, name), n_bytes, n_bytes))
        known[name] = Known(taken_bytes=taken_bytes)
    host = HostMemory(total_bytes=PLENTY, available_bytes=PLENTY)
    hardware = Hardware(gpus=tuple(devices), host=host, known=known)
    return Machine(hardware, is_limited=is_limited and bool(devices))


def sold_bytes(name: str) -> tuple[int, tuple[int, int]] | None:
    """What a card of that name shows as its memory, and what others take of it: from, to."""
    words = _MAKERS.sub(" ", _STATED_GIB.sub(" ", name)).lower().replace("-", " ").split()
    wanted = "-".join(words)
    profile = profiles().get(wanted)
    stated = _STATED_GIB.search(name)
    if profile is not None and profile.is_card:
        n_bytes = int(stated[1]) * GIB if stated else profile.memory_bytes
        return int(n_bytes * SHOWN_SHARE), profile.taken_bytes
    gib = next((g for card, g in _WORKSTATION_GIB.items() if wanted.startswith(card)), None)
    if gib is None and stated is None:
        return None
    return int((int(stated[1]) if stated else gib or 0) * GIB * SHOWN_SHARE), (0, 0)


def _memory(load: Load, device: str, card: str) -> tuple[int | None, tuple[int, int]]:
    if mib := load.free_mib(device):
        return int(mib * MIB), (0, 0)
    if mb := load.number("recommended_max_working_set_mb"):
        return int(mb * _METAL_MB), (0, 0)
    if "Apple" in card:
        return None, (0, 0)
    return sold_bytes(card) or (None, (0, 0))


def _card_names(load: Load) -> dict[str, str]:
    """What each device is: by its own name, else the cards of the machine in turn."""
    cards: list[str] = []
    for part in re.split(r" \+ ", load.text("device")):
        several = _SEVERAL.fullmatch(part)
        cards += [several[2]] * int(several[1]) if several else [part]
    names = load.device_names
    in_turn = dict(zip(names, cards, strict=True)) if len(cards) == len(names) else {}
    stated = {k: v for k, v in load.table("device_names").items() if isinstance(v, str)}
    return in_turn | {name: card for name, card in stated.items() if name in names}


def _kind(device: str, backend: str) -> DeviceKind:
    for text in (device, backend):
        for start, kind in _KINDS.items():
            if text.startswith(start):
                return kind
    return DeviceKind.OTHER
