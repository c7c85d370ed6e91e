"""Owns the roundings of llama.cpp: float32 to the nearest integer, and to half precision and back.

Adding 1.5 * 2**23 to a float32 leaves the nearest integer, ties to even, in its lowest bits.
"""

from __future__ import annotations

import numpy as np

from quant.blocks.compiled import compiled
from quant.blocks.lanes import Bytes

MAGIC = np.float32(12582912.0)  # 1.5 * 2**23

_HALF_UNIT = np.float32(0.5)  # its last bit is worth 2**-24, the smallest half


@compiled
def nearest_int(value: np.float32) -> np.int32:
    """The nearest integer; beyond 2**22 and for NaN whatever llama.cpp's bit mask leaves of it.

    Source: ggml-quants.c, nearest_int.
    """
    bits = np.float32(value + MAGIC).view(np.int32)
    return np.int32((bits & np.int32(0x007FFFFF)) - np.int32(0x00400000))


@compiled
def _half_bits(value: np.float32) -> np.uint32:
    """The bits of the nearest half, ties to even; too large becomes infinite, NaN is kept quiet."""
    bits = np.float32(value).view(np.uint32)
    magnitude = bits & np.uint32(0x7FFFFFFF)
    if magnitude > np.uint32(0x7F800000):
        half = np.uint32(0x7E00)
    elif magnitude >= np.uint32(0x477FF000):  # 65520, halfway between the largest half and infinity
        half = np.uint32(0x7C00)
    elif magnitude < np.uint32(0x38800000):  # 2**-14: a subnormal half is a count of 2**-24
        sum_bits = np.float32(abs(value) + _HALF_UNIT).view(np.uint32)
        half = np.uint32(sum_bits - np.uint32(0x3F000000))
    else:  # drop 13 bits of the fraction, move the exponent's zero from 127 to 15
        odd = (magnitude >> np.uint32(13)) & np.uint32(1)
        half = np.uint32(
            (magnitude - np.uint32(0x38000000) + np.uint32(0x0FFF) + odd) >> np.uint32(13)
        )
    return np.uint32(half | ((bits >> np.uint32(16)) & np.uint32(0x8000)))


@compiled
def _half_value(half: np.uint32) -> np.float32:
    """The float32 with the value of a half. Source: IEEE 754, binary16."""
    magnitude = np.uint32(half & np.uint32(0x7FFF))
    if magnitude >= np.uint32(0x7C00):  # infinity and NaN
        bits = np.uint32(0x7F800000 | ((magnitude & np.uint32(0x03FF)) << np.uint32(13)))
        value = np.uint32(bits).view(np.float32)
    elif magnitude < np.uint32(0x0400):
        value = np.float32(np.float32(magnitude) * np.float32(2.0**-24))
    else:
        value = np.uint32((magnitude << np.uint32(13)) + np.uint32(0x38000000)).view(np.float32)
    return -value if half & np.uint32(0x8000) else value


@compiled
def write_half(value: np.float32, out: Bytes, at: int) -> None:
    """Write the nearest half as two bytes, little end first."""
    half = _half_bits(value)
    out[at] = half & 255
    out[at + 1] = half >> 8


@compiled
def read_half(data: Bytes, at: int) -> np.float32:
    """The float32 with the value of the half at byte `at`."""
    return _half_value(np.uint32(data[at] | data[at + 1] << 8))
