"""Owns IQ4_NL and IQ4_XS: sixteen levels at uneven distances, denser around zero.

IQ4_NL has one scale per block of 32. IQ4_XS has superblocks of eight such blocks with scales in six
bits. Bytes of a block's levels: value `i` low, value `i + 16` high in byte `i`. Bytes before them:

    IQ4_NL  0..1 scale, half
    IQ4_XS  0..1 what a step of a scale is worth, half; 2..3 high two bits of scales 0..7, low bits
            first; 4..7 low four bits of scales, two a byte

Sixteen scales are tried for a block, each by rounding all values to the nearest level.

Source: llama.cpp ggml-common.h (block_iq4_nl, block_iq4_xs, kvalues_iq4nl); ggml-quants.c,
quantize_row_iq4_nl_impl with ntry 7, best_index_int8.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from quant.blocks.compiled import compiled, select
from quant.blocks.lanes import LANES, ONE, STEP, ZERO, Bytes, Floats, Lanes, new_lanes, spread
from quant.blocks.rounding import nearest_int, write_half
from quant.blocks.weighting import sum_squares, weigh_by_importance, weigh_by_square

SIZE = 32
BLOCKS_OF_XS = 8

_LEVELS = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)
_LEVEL = np.array(_LEVELS, np.float32)
# From here up a value belongs to the next level. The reference compares distances; the two agree
# because near these halves a difference of float32 numbers is exact.
_BOUND = np.array([(a + b) / 2 for a, b in pairwise(_LEVELS)], np.float32)

_LOWEST = np.float32(-127)
_CANDIDATES = 7  # on either side
_EPSILON = np.float32(1e-15)  # GROUP_MAX_EPS

# Rows of the array of parameters, each LANES long.
_SCALE = 0 * LANES
_GAIN = 1 * LANES  # of the best candidate: how much of the squares it explains
_KEPT = 2 * LANES
_NEXT = _KEPT  # the same two rows again: what is known after the next comparison
_STEPS = 4 * LANES  # one over the scale being tried
_EXTREME = 5 * LANES  # the value of largest magnitude, with its sign
_N_ROWS = 6


@compiled
def encode(rows: Floats, importance: Floats, n_blocks: int, out: Bytes) -> None:
    """Quantise whole rows to IQ4_NL (`n_blocks` 1) or IQ4_XS (8).

    Shapes: all flat; `importance` has one weight per column, or none at all; `out` 18 bytes per
    block of 32 values or 136 bytes per superblock of 256.
    """
    lanes = new_lanes(SIZE, _N_ROWS)
    steps = np.zeros(LANES, np.float32)
    levels = np.zeros(SIZE * LANES, np.uint8)
    header_bytes = 2 if n_blocks == 1 else 8
    n_bytes = header_bytes + n_blocks * SIZE // 2
    n_groups = rows.size // (SIZE * n_blocks)
    at_once = LANES // n_blocks
    for first in range(0, n_groups, at_once):
        n_here = min(at_once, n_groups - first)
        spread(rows, first * n_blocks, n_here * n_blocks, SIZE, lanes.x)
        if importance.size > 0:
            spread(importance, first * n_blocks, n_here * n_blocks, SIZE, lanes.w)
            start = first * n_blocks * SIZE
            _soften(rows[start : start + n_here * n_blocks * SIZE], n_blocks, lanes.sums)
            weigh_by_importance(lanes, SIZE)
        else:
            weigh_by_square(lanes, SIZE)
        _search(lanes)
        for g in range(n_here):
            at = (first + g) * n_bytes
            lane = g * n_blocks
            scales = lanes.p[_SCALE + lane : _SCALE + lane + n_blocks]
            _write_scales(scales, out[at : at + header_bytes], steps[lane:])
        _round_levels(lanes.x, steps, levels)
        for lane in range(n_here * n_blocks):
            group, block = divmod(lane, n_blocks)
            at = (first + group) * n_bytes + header_bytes + block * SIZE // 2
            for i in range(SIZE // 2):
                high = levels[(i + SIZE // 2) * LANES + lane]
                out[at + i] = levels[i * LANES + lane] | (high << 4)


@compiled
def _soften(rows: Floats, n_blocks: int, softening: Floats) -> None:
    group = SIZE * n_blocks
    squares = np.zeros(LANES, np.float32)
    sum_squares(rows, 0, rows.size // group, group, squares)
    for lane in range(LANES):
        softening[lane] = squares[lane // n_blocks] * (np.float32(2) / np.float32(group))


@compiled
def _search(lanes: Lanes) -> None:
    p, sums = lanes.p, lanes.sums
    _find_extreme(lanes.x, p)
    for lane in range(LANES):
        p[_STEPS + lane] = ONE / (-p[_EXTREME + lane] / _LOWEST)
    _sum_levels(lanes)
    for lane in range(LANES):
        sum_xl, sum_l2 = sums[lane], sums[LANES + lane]
        scale = select(sum_l2 > ZERO, sum_xl / sum_l2, ZERO)
        p[_SCALE + lane] = scale
        p[_GAIN + lane] = scale * sum_xl
    for i in range(-_CANDIDATES, _CANDIDATES + 1):
        for lane in range(LANES):
            p[_STEPS + lane] = (np.float32(i) + _LOWEST) / p[_EXTREME + lane]
        _sum_levels(lanes)
        _keep_better(p, sums)
    for lane in range(LANES):
        if abs(p[_EXTREME + lane]) < _EPSILON:
            p[_SCALE + lane] = ZERO


@compiled
def _nearest(value: np.float32) -> np.float32:
    """The level nearest to `value`, the upper one of two; the highest for NaN."""
    level = _LOWEST
    for k in range(15):
        level = select(value < _BOUND[k], level, _LEVEL[k + 1])
    return level


@compiled
def _find_extreme(x: Floats, p: Floats) -> None:
    for lane in range(LANES):
        p[_EXTREME + lane] = ZERO
    for first in range(0, SIZE, STEP):
        for lane in range(LANES):
            extreme = p[_EXTREME + lane]
            for i in range(first, first + STEP):
                value = x[i * LANES + lane]
                extreme = select(abs(value) > abs(extreme), value, extreme)
            p[_EXTREME + lane] = extreme


@compiled
def _sum_levels(lanes: Lanes) -> None:
    x, w, _, p, sums = lanes
    for i in range(2 * LANES):
        sums[i] = ZERO
    for i in range(SIZE):
        for lane in range(LANES):
            value = x[i * LANES + lane]
            level = _nearest(p[_STEPS + lane] * value)
            weighted = w[i * LANES + lane] * level
            sums[lane] += weighted * value
            sums[LANES + lane] += weighted * level


@compiled
def _keep_better(p: Floats, sums: Floats) -> None:
    # Into other rows: choosing between new and old in place would become a masked store.
    for lane in range(LANES):
        sum_xl, sum_l2 = sums[lane], sums[LANES + lane]
        scale = sum_xl / sum_l2
        gain = p[_GAIN + lane]
        is_better = (sum_l2 > ZERO) & (sum_xl * sum_xl > gain * sum_l2)
        p[_NEXT + _SCALE + lane] = select(is_better, scale, p[_SCALE + lane])
        p[_NEXT + _GAIN + lane] = select(is_better, scale * sum_xl, gain)
    for i in range(_KEPT):
        p[i] = p[_NEXT + i]


@compiled
def _write_scales(scales: Floats, out: Bytes, steps: Floats) -> None:
    """Write the bytes before the levels; `steps` gets one over the scale of each block."""
    if scales.size == 1:
        write_half(scales[0], out, 0)
        steps[0] = ONE / scales[0] if scales[0] != ZERO else ZERO
        return
    extreme = ZERO
    for scale in scales:
        extreme = scale if abs(scale) > abs(extreme) else extreme
    d = -extreme / np.float32(32)
    inverse = ONE / d if d != ZERO else ZERO
    write_half(d, out, 0)
    out[2:] = 0
    for i in range(BLOCKS_OF_XS):
        level = max(-32, min(31, int(nearest_int(inverse * scales[i]))))
        scale = d * np.float32(level)
        steps[i] = ONE / scale if scale != ZERO else ZERO
        bits = level + 32
        out[2 + i // 4] |= (bits >> 4) << 2 * (i % 4)
        out[4 + i // 2] |= (bits & 15) << 4 * (i % 2)


@compiled
def _round_levels(x: Floats, steps: Floats, levels: Bytes) -> None:
    for i in range(SIZE):
        for lane in range(LANES):
            value = steps[lane] * x[i * LANES + lane]
            count = np.int32(0)
            for k in range(15):
                count += np.int32(not value < _BOUND[k])
            levels[i * LANES + lane] = count
