"""Owns the profiles of AMD's consumer cards on which llama.cpp runs, and of Ryzen AI Max.

Columns: GiB, GB/s, TFLOPS. llama.cpp's HIP backend reaches a share of the sheet's compute that
differs from one generation to the next, so none is given: reading a prompt is not estimated.
Through Vulkan, AMD's own driver gives half as much at once as Mesa's: the smaller figure is taken.
"""

from __future__ import annotations

from backends.allocation_limits import AMD_DRIVER_MAX_BYTES, VULKAN_BUFFER_BYTES
from backends.device import DeviceKind
from localr1.hardware.profile import AMD_SHEETS, Profile, card
from localr1.units import GIB

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
    ("rx-5700", 8, 448, None),
    ("rx-5700-xt", 8, 448, None),
    ("rx-6500-xt", 4, 144, None),
    ("rx-6600", 8, 224, None),
    ("rx-6600-xt", 8, 256, None),
    ("rx-6650-xt", 8, 280, None),
    ("rx-6700", 10, 320, None),
    ("rx-6700-xt", 12, 384, None),
    ("rx-6750-xt", 12, 432, None),
)


_RYZEN_AI_MAX_SIZES_GIB = (32, 64, 96, 128)
_RYZEN_AI_MAX_BYTES_PER_S = 256e9
_RYZEN_AI_MAX_SHARE = 0.75
"""The most that can be set aside for the GPU: 96 of 128 GB, as AMD says."""


def amd_cards() -> tuple[Profile, ...]:
    """Every card of the tables."""
    return tuple(
        card(row, maker="AMD Radeon", kind=kind, source=AMD_SHEETS, max_alloc_bytes=max_alloc_bytes)
        for kind, rows, max_alloc_bytes in (
            (DeviceKind.ROCM, _ROCM, None),
            (DeviceKind.VULKAN, _VULKAN, AMD_DRIVER_MAX_BYTES),
        )
        for row in rows
    )


def ryzen_ai_max() -> tuple[Profile, ...]:
    """PCs with a Ryzen AI Max+ 395 (Strix Halo), whose GPU shares their memory."""
    return tuple(
        Profile(
            name=f"ryzen-ai-max-395-{gib}gb",
            title=f"Ryzen AI Max+ 395 (Strix Halo), {gib} GB",
            kind=DeviceKind.VULKAN,  # ROCm drives it too
            memory_bytes=gib * GIB,
            bytes_per_s=_RYZEN_AI_MAX_BYTES_PER_S,
            taken_bytes=(3 * GIB // 2, 4 * GIB),
            source=f"{AMD_SHEETS}; LPDDR5X-8000 on 256 bits",
            gpu_share=_RYZEN_AI_MAX_SHARE,
            buffer_bytes=VULKAN_BUFFER_BYTES,
            max_alloc_bytes=AMD_DRIVER_MAX_BYTES,
        )
        for gib in _RYZEN_AI_MAX_SIZES_GIB
    )
