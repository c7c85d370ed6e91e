"""Owns the profiles of plain PCs by memory: two channels of DDR4-3200, or of DDR5-5600."""

from __future__ import annotations

from backends.device import DeviceKind
from localr1.hardware.profile import Profile
from localr1.units import GIB

DEFAULT_PC = "pc-32gb"
"""What a card is put into when nothing else is said."""

_DDR4_SIZES_GIB = (8, 16, 24, 32, 48, 64, 96, 128)
_DDR5_SIZES_GIB = (16, 24, 32, 48, 64, 96, 128, 192, 256)
_CHANNEL_BYTES = 8
_DDR4_BYTES_PER_S = 2 * _CHANNEL_BYTES * 3200e6
_DDR5_BYTES_PER_S = 2 * _CHANNEL_BYTES * 5600e6


def pcs() -> tuple[Profile, ...]:
    """Every size, with the older memory and with the newer."""
    older = [pc(gib * GIB, name=f"pc-{gib}gb") for gib in _DDR4_SIZES_GIB]
    newer = [
        pc(gib * GIB, name=f"pc-{gib}gb-ddr5", bytes_per_s=_DDR5_BYTES_PER_S)
        for gib in _DDR5_SIZES_GIB
    ]
    return (*older, *newer)


def pc(memory_bytes: int, *, name: str, bytes_per_s: float = _DDR4_BYTES_PER_S) -> Profile:
    """A PC with that much memory; Windows or a Linux desktop with a browser takes some of it."""
    return Profile(
        name=name,
        title=f"PC with {memory_bytes / GIB:g} GB, {bytes_per_s / 1e9:.0f} GB/s",
        kind=DeviceKind.CPU,
        memory_bytes=memory_bytes,
        bytes_per_s=bytes_per_s,
        taken_bytes=(3 * GIB // 2, 3 * GIB if memory_bytes <= 8 * GIB else 4 * GIB),
        source="two 64-bit channels of DDR4-3200 or DDR5-5600 (JEDEC JESD79-4 and -5)",
    )
