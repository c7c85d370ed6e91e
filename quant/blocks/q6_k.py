"""Owns Q6_K: superblocks of sixteen blocks of 16, each with a signed scale of eight bits.

Bytes of a superblock, values and bytes in two halves of 128 values:

    0..127    low four bits: byte `64h + i` has value `128h + i` low and `128h + i + 64` high
    128..191  high two bits: byte `32h + i` has values `128h + i`, + 32, + 64, + 96, low bits first
    192..207  scales, signed bytes
    208..209  what a step of a scale is worth, half

Source: llama.cpp ggml-common.h (block_q6_K); ggml-quants.c, quantize_row_q6_K_ref and _impl.
"""

from __future__ import annotations

import numpy as np

from quant.blocks.compiled import compiled
from quant.blocks.lanes import LANES, ONE, ZERO, Bytes, Floats, new_lanes, spread
from quant.blocks.rounding import nearest_int, read_half, write_half
from quant.blocks.symmetric_search import N_PARAMETERS, SCALE, round_levels, search
from quant.blocks.weighting import weigh_by_square

SIZE = 16
N_BLOCKS = 16
SUPERBLOCK = SIZE * N_BLOCKS
N_BYTES = 210

_AT_ONCE = LANES // N_BLOCKS  # superblocks
_N_MAX = 32
_SCALES_AT = 192
_D_AT = 208
_EPSILON = np.float32(1e-15)  # GROUP_MAX_EPS
_SCALE_STEPS = np.float32(-128)


@compiled
def encode(rows: Floats, importance: Floats, out: Bytes) -> None:
    """Quantise whole rows to Q6_K.

    Shapes: all flat; `importance` has one weight per column, or none at all; `out` 210 bytes per
    superblock of 256 values.
    """
    lanes = new_lanes(SIZE, N_PARAMETERS)
    read_scales = np.zeros(LANES, np.float32)
    levels = np.zeros(SIZE * LANES, np.uint8)
    n_superblocks = rows.size // SUPERBLOCK
    for first in range(0, n_superblocks, _AT_ONCE):
        n_here = min(_AT_ONCE, n_superblocks - first)
        spread(rows, first * N_BLOCKS, n_here * N_BLOCKS, SIZE, lanes.x)
        if importance.size > 0:
            spread(importance, first * N_BLOCKS, n_here * N_BLOCKS, SIZE, lanes.w)
        else:
            weigh_by_square(lanes, SIZE)
        search(lanes, SIZE, np.float32(_N_MAX))
        for s in range(n_here):
            lane = s * N_BLOCKS
            scales = lanes.p[SCALE + lane : SCALE + lane + N_BLOCKS]
            _round_scales(scales, out[(first + s) * N_BYTES :], read_scales[lane:])
        round_levels(lanes, SIZE, np.int32(_N_MAX), read_scales, levels)
        for s in range(n_here):
            at = (first + s) * N_BYTES
            _pack(levels, s * N_BLOCKS, out[at : at + N_BYTES])


@compiled
def _round_scales(scales: Floats, out: Bytes, read_scales: Floats) -> None:
    """Write the scales; fill `read_scales` with what readers will see in them."""
    extreme = ZERO
    for i in range(N_BLOCKS):
        extreme = scales[i] if abs(scales[i]) > abs(extreme) else extreme
    if abs(extreme) < _EPSILON:
        out[_SCALES_AT:_D_AT] = 0
        write_half(ZERO, out, _D_AT)
        read_scales[:N_BLOCKS] = ZERO
        return
    steps = _SCALE_STEPS / extreme
    write_half(ONE / steps, out, _D_AT)
    d = read_half(out, _D_AT)
    for i in range(N_BLOCKS):
        level = np.int8(min(np.int32(127), nearest_int(steps * scales[i])))
        out[_SCALES_AT + i] = np.uint8(level)
        read_scales[i] = d * np.float32(level)


@compiled
def _pack(levels: Bytes, first_lane: int, out: Bytes) -> None:
    is_empty = True
    for i in range(_SCALES_AT, N_BYTES):
        is_empty &= out[i] == 0
    if is_empty:
        out[:] = 0
        return
    for half in range(2):
        for i in range(32):
            # Value 128h + 32k + i is value i % 16 of the block in lane 8h + 2k + i // 16.
            at = i % SIZE * LANES + first_lane + 8 * half + i // SIZE
            low, second, third, fourth = levels[at], levels[at + 2], levels[at + 4], levels[at + 6]
            out[64 * half + i] = (low & 15) | ((third & 15) << 4)
            out[64 * half + i + 32] = (second & 15) | ((fourth & 15) << 4)
            out[128 + 32 * half + i] = (
                low >> 4 | (second >> 4) << 2 | (third >> 4) << 4 | (fourth >> 4) << 6
            )
