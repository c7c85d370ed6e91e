"""Owns the machine that a published load ran on: its devices, and how much of each there was.

What was free counts, as the log prints it; else what the device has; else what Metal allows; else
what cards of that name show, less the context of the driver. Whether a desktop was drawn on it
nobody knows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from backends.allocation_limits import (
    AMD_DRIVER_MAX_BYTES,
    VULKAN_BUFFER_BYTES,
    VULKAN_MAX_BYTES,
)
from backends.device import Device, DeviceKind
from benchmarks.published_loads import Load
from localr1.hardware.catalogue import profiles
from localr1.hardware.machine import CONTEXT_BYTES, SHOWN_SHARE
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
# GiB of cards that have no profile
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
        card = names.get(name, name)
        limits = _allocation_limits(kind, card)
        devices.append(Device(name, kind, card, n_bytes, n_bytes, False, *limits))
        known[name] = Known(taken_bytes=taken_bytes)
    host = HostMemory(total_bytes=PLENTY, available_bytes=PLENTY)
    hardware = Hardware(gpus=tuple(devices), host=host, known=known)
    return Machine(hardware, is_limited=is_limited and bool(devices))


def shown_bytes(card: str) -> int | None:
    """The memory that a card of that name shows."""
    words = _MAKERS.sub(" ", _STATED_GIB.sub(" ", card)).lower().replace("-", " ").split()
    wanted = "-".join(words)
    if stated := _STATED_GIB.search(card):
        return int(int(stated[1]) * GIB * SHOWN_SHARE)
    profile = profiles().get(wanted)
    if profile is not None and profile.is_card:
        return int(profile.memory_bytes * SHOWN_SHARE)
    gib = next((g for name, g in _WORKSTATION_GIB.items() if wanted.startswith(name)), None)
    return None if gib is None else int(gib * GIB * SHOWN_SHARE)


def _memory(load: Load, device: str, card: str) -> tuple[int | None, tuple[int, int]]:
    """What there is, and what of it a driver's context takes that is not running yet."""
    if mib := load.free_mib(device):
        return int(mib * MIB), (0, 0)
    if mb := load.number("recommended_max_working_set_mb"):
        return int(mb * _METAL_MB), (0, 0)
    if "Apple" in card:
        return None, (0, 0)
    return shown_bytes(card), CONTEXT_BYTES


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


def _allocation_limits(kind: DeviceKind, card: str) -> tuple[int | None, int | None]:
    """What llama.cpp puts into one buffer, and what the driver grants. Mesa's is called RADV."""
    if kind is not DeviceKind.VULKAN:
        return None, None
    is_amd_driver = "AMD" in card and "RADV" not in card
    return VULKAN_BUFFER_BYTES, AMD_DRIVER_MAX_BYTES if is_amd_driver else VULKAN_MAX_BYTES


def _kind(device: str, backend: str) -> DeviceKind:
    for text in (device, backend):
        for start, kind in _KINDS.items():
            if text.startswith(start):
                return kind
    return DeviceKind.OTHER
