"""Owns the profiles of Intel's Arc cards, which llama.cpp drives through Vulkan, or SYCL.

Columns: GiB, GB/s, TFLOPS. The last is left out: no runs were found that say which share of the
sheet's compute llama.cpp reaches. Through Vulkan the driver gives almost 4 GiB at once; SYCL asks
for more, and gets it.
"""

from __future__ import annotations

from backends.allocation_limits import VULKAN_MAX_BYTES
from backends.device import DeviceKind
from localr1.hardware.profile import INTEL_SHEETS, Profile, card

_ROWS: tuple[tuple[str, int, float, float | None], ...] = (
    ("arc-a380", 6, 186, None),
    ("arc-a580", 8, 512, None),
    ("arc-a750", 8, 512, None),
    ("arc-a770", 16, 560, None),
    ("arc-a770-8gb", 8, 512, None),
    ("arc-b570", 10, 380, None),
    ("arc-b580", 12, 456, None),
)


def intel_cards() -> tuple[Profile, ...]:
    """Every card of the table."""
    return tuple(
        card(
            row,
            maker="Intel",
            kind=DeviceKind.VULKAN,
            source=INTEL_SHEETS,
            max_alloc_bytes=VULKAN_MAX_BYTES,
        )
        for row in _ROWS
    )
