"""Owns the profiles of AMD's consumer cards on which llama.cpp runs.

Columns: GiB, GB/s, TFLOPS. llama.cpp's HIP backend reaches a share of the sheet's compute that
differs from one generation to the next, so none is given: reading a prompt is not estimated.
"""

from __future__ import annotations

from backends.device import DeviceKind
from localr1.hardware.profile import AMD_SHEETS, Profile, card

# gfx1030, gfx11 and gfx12: in ROCm's own tables
_ROCM: tuple[tuple[str, int, float, float | None], ...] = (
    ("rx-6800", 16, 512, None),
    ("rx-6800-xt", 16, 512, None),
    ("rx-6900-xt", 16, 512, None),
    ("rx-6950-xt", 16, 576, None),
    ("rx-7600", 8, 288, None),
    ("rx-7600-xt", 16, 288, None),
    ("rx-7700-xt", 12, 432, None),
    ("rx-7800-xt", 16, 624, None),
    ("rx-7900-gre", 16, 576, None),
    ("rx-7900-xt", 20, 800, None),
    ("rx-7900-xtx", 24, 960, None),
    ("rx-9060-xt", 8, 320, None),
    ("rx-9060-xt-16gb", 16, 320, None),
    ("rx-9070", 16, 640, None),
    ("rx-9070-xt", 16, 640, None),
)
# older and smaller chips run through Vulkan
_VULKAN: tuple[tuple[str, int, float, float | None], ...] = (
    ("rx-580", 8, 256, None),
    ("rx-5600-xt", 6, 288, None),
    ("rx-5700-xt", 8, 448, None),
    ("rx-6600", 8, 224, None),
    ("rx-6600-xt", 8, 256, None),
    ("rx-6650-xt", 8, 280, None),
    ("rx-6700-xt", 12, 384, None),
    ("rx-6750-xt", 12, 432, None),
)


def amd_cards() -> tuple[Profile, ...]:
    """Every card of the tables."""
    return tuple(
        card(row, maker="AMD Radeon", kind=kind, source=AMD_SHEETS)
        for kind, rows in ((DeviceKind.ROCM, _ROCM), (DeviceKind.VULKAN, _VULKAN))
        for row in rows
    )
