"""Owns putting together a machine that is not here: cards in a PC, a Mac, or bare numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from backends.device import Device, DeviceKind
from localr1.errors import UsageError
from localr1.hardware.apple import (
    FIRST_NEWER_MACOS,
    longest_buffer_bytes,
    macos_of,
    working_set_bytes,
)
from localr1.hardware.catalogue import find_profile
from localr1.hardware.efficiency import shared_processor_rate, sheet_rate
from localr1.hardware.pc import DEFAULT_PC, pc
from localr1.hardware.profile import Profile
from localr1.plan.hardware import HOST, Known
from localr1.plan.request import HostMemory, PlanRequest
from localr1.units import GIB, MIB, format_bytes

if TYPE_CHECKING:
    from localr1.model_facts.card import ModelCard
    from localr1.plan.memory_plan import MemoryPlan

# of 24576 MiB, the driver of a 3090 or 4090 shows 24080 to 24160 (published load logs)
SHOWN_SHARE = 0.98
CONTEXT_BYTES = (200 * MIB, 350 * MIB)
"""What a driver takes of a card as soon as a program uses it: from, to."""
_UNKNOWN_CARD_BYTES_PER_S = 300e9  # between an RTX 4060 and a 3060; only where nothing is said


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What was asked for: names of profiles, or numbers, or both."""

    names: tuple[str, ...] = ()
    ram_bytes: int | None = None
    vram_bytes: int | None = None
    bytes_per_s: float | None = None
    """Of the card's memory if there is one, else of the machine's."""
    macos: int | None = None
    wired_limit_mib: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing was asked, so that this machine is meant."""
        return self == Wish()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedMachine:
    """A machine as the planner takes one, here or not."""

    devices: tuple[Device, ...]
    host: HostMemory
    known: Mapping[str, Known]
    notices: tuple[str, ...] = ()
    """What was assumed, in sentences."""

    def plan(self, card: ModelCard, request: PlanRequest, *, with_fixes: bool = True) -> MemoryPlan:
        """The memory plan of a model here. Raises: as `make_plan`."""
        from localr1.plan.planner import make_plan  # much, and --help needs none of it

        return make_plan(card, request, self.devices, self.host, self.known, with_fixes=with_fixes)


def build_machine(wish: Wish) -> PlannedMachine:
    """The machine that a wish describes.

    Raises: UsageError for names that are not known and parts that do not go together.
    """
    found = [find_profile(name) for name in wish.names]
    if wish.vram_bytes is not None:
        found.append(_card_of(wish.vram_bytes, wish.bytes_per_s))
    machines = [profile for profile in found if not profile.is_card]
    cards = [profile for profile in found if profile.is_card]
    _check(wish, machines, cards)
    if machines and machines[0].is_unified:
        return _mac(machines[0], wish) if machines[0].is_mac else _shared(machines[0])
    return _pc(machines[0] if machines else _pc_of(wish), cards, _assumptions(wish, machines))


def _check(wish: Wish, machines: Sequence[Profile], cards: Sequence[Profile]) -> None:
    if len(machines) > 1:
        raise UsageError(f"{machines[0].name} and {machines[1].name} are two machines, not one")
    if machines and wish.ram_bytes is not None:
        raise UsageError(f"{machines[0].name} says how much memory there is; leave --ram out")
    if len({card.kind for card in cards}) > 1:
        raise UsageError(
            "llama.cpp drives cards of one maker at a time", hint="plan for each kind by itself"
        )
    is_mac = bool(machines) and machines[0].is_mac
    if machines and machines[0].is_unified and cards:
        raise UsageError(f"{machines[0].name} has no slot for {cards[0].name}")
    if (wish.macos is not None or wish.wired_limit_mib) and not is_mac:
        raise UsageError("--macos and --wired-limit are about Macs: --on m1-max-64gb")
    if wish.bytes_per_s is not None and wish.vram_bytes is None and wish.ram_bytes is None:
        raise UsageError("--bandwidth belongs to --vram or --ram; a profile knows its own")


def _assumptions(wish: Wish, machines: Sequence[Profile]) -> list[str]:
    assumed = []
    if not machines and wish.ram_bytes is None:
        assumed.append(f"around the card a {find_profile(DEFAULT_PC).title} is assumed; say --ram")
    if wish.ram_bytes is not None and (wish.vram_bytes is not None or wish.bytes_per_s is None):
        rate = f"{_pc_of(wish).bytes_per_s / 1e9:.0f} GB/s"
        better = "--bandwidth" if wish.vram_bytes is None else f"--on {DEFAULT_PC}-ddr5 or the like"
        assumed.append(f"the PC's own memory is assumed to have {rate}; say {better}")
    if wish.vram_bytes is not None and wish.bytes_per_s is None:
        rate = f"{_UNKNOWN_CARD_BYTES_PER_S / 1e9:.0f} GB/s"
        assumed.append(f"the card's memory is assumed to have {rate}; say --bandwidth")
    return assumed


def _card_of(vram_bytes: int, bytes_per_s: float | None) -> Profile:
    return Profile(
        name=f"card-{vram_bytes / GIB:g}gb",
        title=f"a card with {format_bytes(vram_bytes)}",
        kind=DeviceKind.CUDA,
        memory_bytes=vram_bytes,
        bytes_per_s=bytes_per_s or _UNKNOWN_CARD_BYTES_PER_S,
        taken_bytes=(0, GIB),
        source="--vram and --bandwidth",
    )


def _pc_of(wish: Wish) -> Profile:
    if wish.ram_bytes is None:
        return find_profile(DEFAULT_PC)
    name = f"pc-{wish.ram_bytes / GIB:g}gb"
    if wish.vram_bytes is None and wish.bytes_per_s is not None:
        return pc(wish.ram_bytes, name=name, bytes_per_s=wish.bytes_per_s)
    return pc(wish.ram_bytes, name=name)


def _pc(machine: Profile, cards: Sequence[Profile], assumed: Sequence[str]) -> PlannedMachine:
    names = _distinct([card.name for card in cards])
    devices = []
    known = {HOST: Known(rate=sheet_rate(machine), taken_bytes=machine.taken_bytes)}
    for name, card in zip(names, cards, strict=True):
        shown_bytes = int(card.memory_bytes * SHOWN_SHARE)
        device = Device(name, card.kind, card.title, card.memory_bytes, shown_bytes)
        devices.append(_limited(device, card))
        lowest, highest = (n + m for n, m in zip(CONTEXT_BYTES, card.taken_bytes, strict=True))
        known[name] = Known(rate=sheet_rate(card), taken_bytes=(lowest, highest))
    return PlannedMachine(
        devices=tuple(devices),
        host=HostMemory(
            total_bytes=machine.memory_bytes,
            available_bytes=machine.memory_bytes,
            cpu_features=frozenset({"avx2"}),
        ),
        known=known,
        notices=(*assumed, "bandwidths are those of data sheets"),
    )


def _mac(mac: Profile, wish: Wish) -> PlannedMachine:
    macos = macos_of(mac) if wish.macos is None else wish.macos
    limit_bytes = working_set_bytes(
        mac.memory_bytes, macos=macos, wired_limit_mib=wish.wired_limit_mib
    )
    longest_bytes = longest_buffer_bytes(mac.memory_bytes, macos=macos)
    device = Device(
        mac.name,
        mac.kind,
        mac.title,
        mac.memory_bytes,
        limit_bytes,
        is_unified=True,
        buffer_bytes=longest_bytes,
        max_alloc_bytes=longest_bytes,
    )
    since = "as set" if wish.wired_limit_mib else _macos_words(macos)
    share = f"the GPU may use {format_bytes(limit_bytes)} of {format_bytes(mac.memory_bytes)}"
    return PlannedMachine(
        devices=(device,),
        host=HostMemory(
            total_bytes=mac.memory_bytes,
            available_bytes=mac.memory_bytes,
            cpu_features=frozenset({"dotprod"}),
        ),
        known={
            mac.name: Known(rate=sheet_rate(mac)),
            HOST: Known(rate=shared_processor_rate(mac), taken_bytes=mac.taken_bytes),
        },
        notices=(f"{share} ({since})", "bandwidths are those of data sheets"),
    )


def _shared(pc: Profile) -> PlannedMachine:
    """A PC whose GPU has a part of its memory."""
    limit_bytes = int((pc.gpu_share or 0) * pc.memory_bytes)
    device = Device(pc.name, pc.kind, pc.title, pc.memory_bytes, limit_bytes, is_unified=True)
    share = f"the GPU may use {format_bytes(limit_bytes)} of {format_bytes(pc.memory_bytes)}"
    return PlannedMachine(
        devices=(_limited(device, pc),),
        host=HostMemory(
            total_bytes=pc.memory_bytes,
            available_bytes=pc.memory_bytes,
            cpu_features=frozenset({"avx2", "avx512"}),
        ),
        known={
            pc.name: Known(rate=sheet_rate(pc)),
            HOST: Known(rate=shared_processor_rate(pc), taken_bytes=pc.taken_bytes),
        },
        notices=(f"{share}, once that is set", "bandwidths are those of data sheets"),
    )


def _limited(device: Device, profile: Profile) -> Device:
    """The device with what its driver gives at once."""
    return replace(
        device, buffer_bytes=profile.buffer_bytes, max_alloc_bytes=profile.max_alloc_bytes
    )


def _macos_words(macos: int) -> str:
    newer = f"macOS {FIRST_NEWER_MACOS} and later"
    return newer if macos >= FIRST_NEWER_MACOS else f"macOS before {FIRST_NEWER_MACOS}"


def _distinct(names: Sequence[str]) -> list[str]:
    """Two cards of one kind get numbers: `rtx-3090`, `rtx-3090#2`."""
    seen: Counter[str] = Counter()
    distinct = []
    for name in names:
        seen[name] += 1
        distinct.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return distinct
