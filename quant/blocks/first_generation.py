"""Owns Q4_0, Q4_1, Q5_0 and Q5_1 with importance weights: single blocks of 32.

Bytes of a block: scale, half; for the types ending in 1 the minimum, half; for five bits the fifth
bits of values 0..31, low bit first; then value `i` low and value `i + 16` high in byte `i`.

Without importance weights these types need no search; llama.cpp does them.

Source: llama.cpp ggml-common.h (block_q4_0 and so on); ggml-quants.c, quantize_row_q4_0_impl,
quantize_row_q4_1_impl, quantize_row_q5_0_impl, quantize_row_q5_1_impl.
"""

from __future__ import annotations

import numpy as np

from quant.blocks import affine_search as affine
from quant.blocks import symmetric_search as symmetric
from quant.blocks.compiled import compiled
from quant.blocks.lanes import LANES, ZERO, Bytes, Floats, Lanes, new_lanes, spread
from quant.blocks.rounding import nearest_int, write_half
from quant.blocks.weighting import sum_squares, weigh_by_importance

SIZE = 32
_CHAINS = 8  # rows summed side by side: more would leave the first-level cache
_CANDIDATES: affine.Candidates = (np.float32(-0.9), np.float32(0.05), 36)


@compiled
def encode_symmetric(rows: Floats, importance: Floats, n_bits: int, out: Bytes) -> None:
    """Quantise whole rows to Q4_0 (`n_bits` 4) or Q5_0 (5).

    Shapes: all flat; `importance` has one weight per column; `out` 18 or 22 bytes per block.
    """
    lanes = new_lanes(SIZE, symmetric.N_PARAMETERS)
    levels = np.zeros(SIZE * LANES, np.uint8)
    no_scales = np.zeros(LANES, np.float32)  # levels are those of the search
    means = _mean_squares(rows, importance.size)
    n_max = 1 << (n_bits - 1)
    n_bytes = 2 + SIZE * n_bits // 8
    n_blocks = rows.size // SIZE
    for first in range(0, n_blocks, LANES):
        n_here = min(LANES, n_blocks - first)
        _load(rows, importance, means, first, lanes)
        symmetric.search(lanes, SIZE, np.float32(n_max))
        symmetric.round_levels(lanes, SIZE, np.int32(n_max), no_scales, levels)
        for lane in range(n_here):
            block = out[(first + lane) * n_bytes : (first + lane + 1) * n_bytes]
            write_half(lanes.p[symmetric.SCALE + lane], block, 0)
            _pack(levels[lane:], n_bits, block[2:])


@compiled
def encode_affine(rows: Floats, importance: Floats, n_bits: int, out: Bytes, is_odd: Bytes) -> None:
    """Quantise whole rows to Q4_1 (`n_bits` 4) or Q5_1 (5).

    Shapes: all flat; `importance` has one weight per column; `out` 20 or 24 bytes per block;
    `is_odd` one flag per block, set to 1 where llama.cpp has to do the row.
    """
    lanes = new_lanes(SIZE, affine.N_PARAMETERS)
    levels = np.zeros(SIZE * LANES, np.uint8)
    means = _mean_squares(rows, importance.size)
    n_max = (1 << n_bits) - 1
    n_bytes = 4 + SIZE * n_bits // 8
    n_blocks = rows.size // SIZE
    for first in range(0, n_blocks, LANES):
        n_here = min(LANES, n_blocks - first)
        _load(rows, importance, means, first, lanes)
        affine.search(lanes, np.float32(n_max), _CANDIDATES)
        _searched_levels(lanes, np.int32(n_max), levels)
        for lane in range(n_here):
            block = out[(first + lane) * n_bytes : (first + lane + 1) * n_bytes]
            is_odd[first + lane] = not affine.is_ordinary(lanes.p, lane)
            write_half(lanes.p[affine.SCALE + lane], block, 0)
            write_half(lanes.p[affine.MINIMUM + lane], block, 2)
            _pack(levels[lane:], n_bits, block[4:])


@compiled
def _mean_squares(rows: Floats, n_per_row: int) -> Floats:
    means = np.zeros(rows.size // n_per_row, np.float32)
    for row in range(0, means.size, _CHAINS):
        n_rows = min(_CHAINS, means.size - row)
        sum_squares(rows, row * n_per_row, n_rows, n_per_row, means[row:])
    return means / np.float32(n_per_row)


@compiled
def _load(rows: Floats, importance: Floats, means: Floats, first: int, lanes: Lanes) -> None:
    n_here = min(LANES, rows.size // SIZE - first)
    spread(rows, first, n_here, SIZE, lanes.x)
    spread(importance, first, n_here, SIZE, lanes.w)
    for lane in range(n_here):
        lanes.sums[lane] = means[(first + lane) * SIZE // importance.size]
    for lane in range(n_here, LANES):
        lanes.sums[lane] = ZERO
    weigh_by_importance(lanes, SIZE)


@compiled
def _searched_levels(lanes: Lanes, n_max: np.int32, levels: Bytes) -> None:
    x, p = lanes.x, lanes.p
    for i in range(SIZE):
        for lane in range(LANES):
            distance = x[i * LANES + lane] - p[affine.BEST_ORIGIN + lane]
            level = nearest_int(p[affine.BEST_STEPS + lane] * distance)
            levels[i * LANES + lane] = max(np.int32(0), min(n_max, level))


@compiled
def _pack(levels: Bytes, n_bits: int, out: Bytes) -> None:
    """Pack the block whose level `i` is `levels[i * LANES]`."""
    at = 0
    if n_bits == 5:
        for group in range(4):
            bits = 0
            for i in range(8):
                bits |= (levels[(8 * group + i) * LANES] >> 4) << i
            out[group] = bits
        at = 4
    for i in range(SIZE // 2):
        high = levels[(i + SIZE // 2) * LANES]
        out[at + i] = (levels[i * LANES] & 15) | ((high & 15) << 4)
