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
    Candidates,
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
from quant.blocks.lanes import LANES, ZERO, Bytes, Floats, Lanes, new_lanes, spread
from quant.blocks.rounding import nearest_int
from quant.blocks.weighting import sum_squares, weigh_by_importance, weigh_by_magnitude

SUPERBLOCK = SIZE * N_BLOCKS
_AT_ONCE = LANES // N_BLOCKS  # superblocks

_DEPTH = N_PARAMETERS * LANES  # distance of the minimum below zero
_READ_SCALE = _DEPTH + LANES
_READ_DEPTH = _READ_SCALE + LANES
_N_ROWS = N_PARAMETERS + 3

_Q4: Candidates = (np.float32(-1.0), np.float32(0.1), 20)
_Q5: Candidates = (np.float32(-0.5), np.float32(0.1), 15)
_IMPORTANCE: Candidates = (np.float32(-0.9), np.float32(0.05), 36)


@compiled
def encode(rows: Floats, importance: Floats, n_bits: int, out: Bytes, is_odd: Bytes) -> None:
    """Quantise whole rows to Q4_K (`n_bits` 4) or Q5_K (5).

    Shapes: all flat; `importance` has one weight per column, or none at all; `out` 144 or 176 bytes
    per superblock of 256 values; `is_odd` one flag per superblock, set to 1 where the values are
    out of the range that is rounded rightly here, so that llama.cpp has to do it.
    """
    lanes = new_lanes(SIZE, _N_ROWS)
    levels = np.zeros(SIZE * LANES, np.uint8)
    n_superblocks = rows.size // SUPERBLOCK
    n_bytes = HEADER_BYTES + SIZE * n_bits
    n_max = (1 << n_bits) - 1
    candidates = _Q4 if n_bits == 4 else _Q5
    if importance.size > 0:
        candidates = _IMPORTANCE
    for first in range(0, n_superblocks, _AT_ONCE):
        n_here = min(_AT_ONCE, n_superblocks - first)
        _load(rows, importance, first, n_here, lanes)
        search(lanes, np.float32(n_max), candidates)
        _round_scales(lanes.p, importance.size, n_here, out[first * n_bytes :], n_bytes)
        _round_levels(lanes, np.int32(n_max), levels)
        for s in range(n_here):
            is_odd[first + s] = not _is_ordinary(lanes.p, s * N_BLOCKS)
            at = (first + s) * n_bytes + HEADER_BYTES
            if n_bits == 5:
                _pack_high_bits(levels, s * N_BLOCKS, out[at:])
                at += SIZE
            _pack_low_bits(levels, s * N_BLOCKS, out[at:])


@compiled
def _load(rows: Floats, importance: Floats, first: int, n_superblocks: int, lanes: Lanes) -> None:
    spread(rows, first * N_BLOCKS, n_superblocks * N_BLOCKS, SIZE, lanes.x)
    if importance.size == 0:
        weigh_by_magnitude(lanes, SIZE)
        return
    spread(importance, first * N_BLOCKS, n_superblocks * N_BLOCKS, SIZE, lanes.w)
    squares = np.zeros(_AT_ONCE, np.float32)
    sum_squares(rows, first * SUPERBLOCK, n_superblocks, SUPERBLOCK, squares)
    for lane in range(LANES):
        lanes.sums[lane] = np.float32(2) * squares[lane // N_BLOCKS] / np.float32(SUPERBLOCK)
    weigh_by_importance(lanes, SIZE)


@compiled
def _is_ordinary(p: Floats, lane: int) -> bool:
    are_ordinary = True
    for i in range(lane, lane + N_BLOCKS):
        are_ordinary &= is_ordinary(p, i)
    return are_ordinary


@compiled
def _round_scales(
    p: Floats, n_importance: int, n_superblocks: int, out: Bytes, n_bytes: int
) -> None:
    """Write the headers; fill READ_SCALE and READ_DEPTH with what readers will see in them."""
    levels = np.zeros(2 * N_BLOCKS, np.uint8)
    for lane in range(LANES):
        p[_DEPTH + lane] = -p[MINIMUM + lane]
    for s in range(n_superblocks):
        lane = s * N_BLOCKS
        scales = p[SCALE + lane : SCALE + lane + N_BLOCKS]
        depths = p[_DEPTH + lane : _DEPTH + lane + N_BLOCKS]
        weights = p[SUM_W + lane : SUM_W + lane + N_BLOCKS]
        header = out[s * n_bytes :]
        if n_importance > 0:
            d = fit_scales(scales, weights, levels)
            d_min = fit_scales(depths, weights, levels[N_BLOCKS:])
        else:
            d = round_scales(scales, levels)
            d_min = round_scales(depths, levels[N_BLOCKS:])
        write_header(d, d_min, levels, header)
        for i in range(N_BLOCKS):
            p[_READ_SCALE + lane + i] = read_scale(header, i)
            p[_READ_DEPTH + lane + i] = read_minimum(header, i)


@compiled
def _round_levels(lanes: Lanes, n_max: np.int32, levels: Bytes) -> None:
    """Levels for the rounded scales; where a scale became 0 those of the search remain."""
    x, p = lanes.x, lanes.p
    for i in range(SIZE):
        for lane in range(LANES):
            value = x[i * LANES + lane]
            scale = p[_READ_SCALE + lane]
            exact = (value + p[_READ_DEPTH + lane]) / scale
            searched = p[BEST_STEPS + lane] * (value - p[BEST_ORIGIN + lane])
            level = nearest_int(searched if scale == ZERO else exact)
            levels[i * LANES + lane] = max(np.int32(0), min(n_max, level))


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
