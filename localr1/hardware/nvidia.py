"""Owns the profiles of NVIDIA's consumer cards with 4 to 32 GB: desktop and laptop.

Columns: GiB, GB/s, TFLOPS. The last is half precision on tensor cores with single-precision sums,
without sparsity; cards before RTX have no such cores, and a laptop's depend on its power limit.
"""

from __future__ import annotations

from backends.device import DeviceKind
from localr1.hardware.profile import NVIDIA_SHEETS, Profile, card

_ROWS: tuple[tuple[str, int, float, float | None], ...] = (
    ("gtx-1050-ti", 4, 112, None),
    ("gtx-1060", 6, 192, None),
    ("gtx-1070", 8, 256, None),
    ("gtx-1070-ti", 8, 256, None),
    ("gtx-1080", 8, 320, None),
    ("gtx-1080-ti", 11, 484, None),
    ("gtx-1650", 4, 128, None),
    ("gtx-1650-super", 4, 192, None),
    ("gtx-1660", 6, 192, None),
    ("gtx-1660-super", 6, 336, None),
    ("gtx-1660-ti", 6, 288, None),
    ("rtx-2060", 6, 336, 25.8),
    ("rtx-2060-12gb", 12, 336, 28.7),
    ("rtx-2060-super", 8, 448, 28.7),
    ("rtx-2070", 8, 448, 29.9),
    ("rtx-2070-super", 8, 448, 36.3),
    ("rtx-2080", 8, 448, 40.3),
    ("rtx-2080-super", 8, 496, 44.6),
    ("rtx-2080-ti", 11, 616, 53.8),
    ("rtx-3050", 8, 224, 18.2),
    ("rtx-3050-6gb", 6, 168, 13.5),
    ("rtx-3060", 12, 360, 25.5),
    ("rtx-3060-8gb", 8, 240, 25.5),
    ("rtx-3060-ti", 8, 448, 32.4),
    ("rtx-3070", 8, 448, 40.6),
    ("rtx-3070-ti", 8, 608, 43.5),
    ("rtx-3080", 10, 760, 59.5),
    ("rtx-3080-12gb", 12, 912, 61.3),
    ("rtx-3080-ti", 12, 912, 68.2),
    ("rtx-3090", 24, 936, 71.2),
    ("rtx-3090-ti", 24, 1008, 80.0),
    ("rtx-4060", 8, 272, 30.2),
    ("rtx-4060-ti", 8, 288, 44.1),
    ("rtx-4060-ti-16gb", 16, 288, 44.1),
    ("rtx-4070", 12, 504, 58.3),
    ("rtx-4070-super", 12, 504, 71.0),
    ("rtx-4070-ti", 12, 504, 80.2),
    ("rtx-4070-ti-super", 16, 672, 88.2),
    ("rtx-4080", 16, 717, 97.5),
    ("rtx-4080-super", 16, 736, 104.4),
    ("rtx-4090", 24, 1008, 165.2),
    ("rtx-5050", 8, 320, 26.3),
    ("rtx-5060", 8, 448, 38.4),
    ("rtx-5060-ti", 8, 448, 47.4),
    ("rtx-5060-ti-16gb", 16, 448, 47.4),
    ("rtx-5070", 12, 672, 61.7),
    ("rtx-5070-ti", 16, 896, 87.9),
    ("rtx-5080", 16, 960, 112.6),
    ("rtx-5090", 32, 1792, 209.5),
    ("gtx-1650-laptop", 4, 128, None),
    ("gtx-1660-ti-laptop", 6, 288, None),
    ("rtx-2060-laptop", 6, 336, None),
    ("rtx-2070-laptop", 8, 448, None),
    ("rtx-2080-laptop", 8, 448, None),
    ("rtx-3050-laptop", 4, 192, None),
    ("rtx-3050-laptop-6gb", 6, 168, None),
    ("rtx-3050-ti-laptop", 4, 192, None),
    ("rtx-3060-laptop", 6, 336, None),
    ("rtx-3070-laptop", 8, 448, None),
    ("rtx-3070-ti-laptop", 8, 448, None),
    ("rtx-3080-laptop", 8, 448, None),
    ("rtx-3080-laptop-16gb", 16, 448, None),
    ("rtx-3080-ti-laptop", 16, 512, None),
    ("rtx-4050-laptop", 6, 192, None),
    ("rtx-4060-laptop", 8, 256, None),
    ("rtx-4070-laptop", 8, 256, None),
    ("rtx-4080-laptop", 12, 432, None),
    ("rtx-4090-laptop", 16, 576, None),
    ("rtx-5050-laptop", 8, 384, None),
    ("rtx-5060-laptop", 8, 384, None),
    ("rtx-5070-laptop", 8, 384, None),
    ("rtx-5070-ti-laptop", 12, 672, None),
    ("rtx-5080-laptop", 16, 896, None),
    ("rtx-5090-laptop", 24, 896, None),
)


def nvidia_cards() -> tuple[Profile, ...]:
    """Every card of the table."""
    return tuple(
        card(row, maker="NVIDIA GeForce", kind=DeviceKind.CUDA, source=NVIDIA_SHEETS)
        for row in _ROWS
    )
