"""Owns Q4_K and Q5_K: superblocks of eight blocks of 32, each with its own scale and minimum.

Bytes of a superblock: the header (see `k_scales`), for Q5_K 32 bytes with the fifth bits (bit `b`
of byte `i` belongs to value `i` of block `b`), then four groups of 32 bytes: value `i` of block
`2g` in the low half of byte `32g + i`, value `i` of block `2g + 1` in the high half.

Source: llama.cpp ggml-common.h (block_q4_K, block_q5_K); ggml-quants.c, quantize_row_q4_K_ref and
_impl (with importance weights), quantize_row_q5_K_ref and _impl.
"""

from __future__ import annotations

import numpy as np

from quant.blocks.affine_search import (
    BEST_ORIGIN,
    BEST_STEPS,
    MINIMUM,
    N_PARAMETERS,
    SCALE,
    SIZE,
    SUM_W,
    is_ordinary,
    search,
)
from quant.blocks.compiled import compiled
from quant.blocks.k_scales import (
    HEADER_BYTES,
    N_BLOCKS,
    fit_scales,
    read_minimum,
    read_scale,
    round_scales,
    write_header,
)
from quant.blocks.lanes import LANES, N_SUMS, ZERO, Bytes, Floats, spread
from quant.blocks.rounding import nearest_int
from quant.blocks.weighting import sum_squares, weigh_by_importance, weigh_by_magnitude

SUPERBLOCK = SIZE * N_BLOCKS
_AT_ONCE = LANES // N_BLOCKS  # superblocks

# First candidate, distance between candidates and number of candidates after the first.
_Q4 = (np.float32(-1.0), np.float32(0.1), 20)
_Q5 = (np.float32(-0.5), np.float32(0.1), 15)
_IMPORTANCE = (np.float32(-0.9), np.float32(0.05), 36)


@compiled
def encode(rows: Floats, importance: Floats, n_bits: int, out: Bytes, is_odd: Bytes) -> None:
    """Quantise whole rows to Q4_K (`n_bits` 4) or Q5_K (5).

    Shapes: all flat; `importance` has one weight per column, or none at all; `out` 144 or 176 bytes
    per superblock of 256 values; `is_odd` one flag per superblock, set to 1 where the values are out
    of the range that is rounded rightly here and llama.cpp has to do it.
    """
    x = np.zeros(SIZE * LANES, np.float32)
    w = np.zeros(SIZE * LANES, np.float32)
    p = np.zeros(N_PARAMETERS * LANES, np.float32)
    sums = np.zeros(N_SUMS * LANES, np.float32)
    levels = np.zeros(SIZE * LANES, np.uint8)
    n_superblocks = rows.size // SUPERBLOCK
    n_max = np.float32((1 << n_bits) - 1)
    first_step, step, n_steps = _Q4 if n_bits == 4 else _Q5
    if importance.size > 0:
        first_step, step, n_steps = _IMPORTANCE
    for first in range(0, n_superblocks, _AT_ONCE):
        n_here = min(_AT_ONCE, n_superblocks - first)
        spread(rows, first * N_BLOCKS, n_here * N_BLOCKS, SIZE, x)
        if importance.size > 0:
            spread(importance, first * N_BLOCKS, n_here * N_BLOCKS, SIZE, w)
            _soften(rows, first, n_here, sums)
            weigh_by_importance(x, SIZE, sums, w)
        else:
            weigh_by_magnitude(x, SIZE, sums, w)
        search(x, w, p, sums, n_max, first_step, step, n_steps)
        for s in range(n_here):
            at = (first + s) * (HEADER_BYTES + SIZE * n_bits)
            is_odd[first + s] = _write_scales(p, s * N_BLOCKS, importance.size > 0, sums, out[at:])
        _round_levels(x, p, sums, n_max, levels)
        for s in range(n_here):
            at = (first + s) * (HEADER_BYTES + SIZE * n_bits) + HEADER_BYTES
            if n_bits == 5:
                _pack_high_bits(levels, s * N_BLOCKS, out[at:])
                at += SIZE
            _pack_low_bits(levels, s * N_BLOCKS, out[at:])


@compiled
def _soften(rows: Floats, first: int, n_superblocks: int, softening: Floats) -> None:
    squares = np.zeros(_AT_ONCE, np.float32)
    sum_squares(rows, first * SUPERBLOCK, n_superblocks, SUPERBLOCK, squares)
    for lane in range(LANES):
        softening[lane] = np.float32(2) * squares[lane // N_BLOCKS] / np.float32(SUPERBLOCK)


@compiled
def _write_scales(p: Floats, lane: int, is_weighted: bool, rounded: Floats, out: Bytes) -> bool:
    """Write a header; leave the scales and minima that readers will see in `rounded`."""
    scales = p[SCALE + lane : SCALE + lane + N_BLOCKS]
    minima = -p[MINIMUM + lane : MINIMUM + lane + N_BLOCKS]
    scale_levels = np.empty(N_BLOCKS, np.uint8)
    minimum_levels = np.empty(N_BLOCKS, np.uint8)
    if is_weighted:
        weights = p[SUM_W + lane : SUM_W + lane + N_BLOCKS]
        d = fit_scales(scales, weights, scale_levels)
        d_min = fit_scales(minima, weights, minimum_levels)
    else:
        d = round_scales(scales, scale_levels)
        d_min = round_scales(minima, minimum_levels)
    write_header(d, d_min, scale_levels, minimum_levels, out)
    is_odd = False
    for i in range(N_BLOCKS):
        rounded[lane + i] = read_scale(out, i)
        rounded[LANES + lane + i] = read_minimum(out, i)
        is_odd |= not is_ordinary(p, lane + i)
    return is_odd


@compiled
def _round_levels(
    x: Floats, p: Floats, rounded: Floats, n_max: np.float32, levels: Bytes
) -> None:
    """Levels for the rounded scales; where a scale became 0 those of the search remain."""
    top = np.int32(n_max)
    for i in range(SIZE):
        for lane in range(LANES):
            value = x[i * LANES + lane]
            scale = rounded[lane]
            exact = (value + rounded[LANES + lane]) / scale
            searched = p[BEST_STEPS + lane] * (value - p[BEST_ORIGIN + lane])
            level = nearest_int(searched if scale == ZERO else exact)
            level = level if level < top else top
            levels[i * LANES + lane] = level if level > np.int32(0) else np.int32(0)


@compiled
def _pack_low_bits(levels: Bytes, lane: int, out: Bytes) -> None:
    for pair in range(N_BLOCKS // 2):
        for i in range(SIZE):
            low = levels[i * LANES + lane + 2 * pair] & 15
            high = levels[i * LANES + lane + 2 * pair + 1] & 15
            out[pair * SIZE + i] = low | (high << 4)


@compiled
def _pack_high_bits(levels: Bytes, lane: int, out: Bytes) -> None:
    for i in range(SIZE):
        bits = 0
        for block in range(N_BLOCKS):
            bits |= (levels[i * LANES + lane + block] >> 4) << block
        out[i] = bits
