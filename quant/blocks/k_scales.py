"""Owns the header of a Q4_K or Q5_K superblock: eight scales and minima in six bits each.

Bytes of the header:

    0..1   d, half: what a step of a scale is worth
    2..3   dmin, half: what a step of a minimum is worth
    4..7   scales 0..3 in the low six bits, above them the two high bits of scales 4..7
    8..11  minima 0..3 in the low six bits, above them the two high bits of minima 4..7
    12..15 scales 4..7, low four bits; minima 4..7, low four bits, above them

Source: llama.cpp ggml-quants.c, quantize_row_q4_K_ref, quantize_row_q4_K_impl, make_qp_quants.
"""

from __future__ import annotations

import numpy as np

from quant.blocks.compiled import compiled
from quant.blocks.lanes import ONE, ZERO, Bytes, Floats
from quant.blocks.rounding import nearest_int, read_half, write_half

N_BLOCKS = 8  # of a superblock
HEADER_BYTES = 16

_N_MAX = np.float32(63)
_EPSILON = np.float32(1e-15)  # GROUP_MAX_EPS
_TENTH = np.float32(0.1)
_ROUNDS = 5


@compiled
def round_scales(values: Floats, levels: Bytes) -> np.float32:
    """Round eight values to levels of a 63rd of the largest; return what a level is worth."""
    largest = ZERO
    for i in range(N_BLOCKS):
        largest = max(largest, values[i])
    inverse = _N_MAX / largest if largest > ZERO else ZERO
    for i in range(N_BLOCKS):
        levels[i] = nearest_int(inverse * values[i]) & 255
        levels[i] = min(63, levels[i])
    return np.float32(largest / _N_MAX)


@compiled
def fit_scales(values: Floats, weights: Floats, levels: Bytes) -> np.float32:
    """Choose levels with the least weighted squared error; return what a level is worth.

    Weights are those of whole blocks. Nine step sizes are tried, then single levels are moved
    while that improves the fit.
    """
    largest = ZERO
    for i in range(N_BLOCKS):
        largest = max(values[i], largest)
    if largest < _EPSILON:
        levels[:] = 0
        return ZERO
    steps = _best_steps(values, weights, largest)
    sum_xl = ZERO
    sum_l2 = ZERO
    for i in range(N_BLOCKS):
        level = min(63, int(nearest_int(steps * values[i])))
        levels[i] = level & 255
        sum_xl += weights[i] * values[i] * np.float32(level)
        sum_l2 += weights[i] * np.float32(level) * np.float32(level)
    return _refine(values, weights, levels, sum_xl, sum_l2)


@compiled
def _best_steps(values: Floats, weights: Floats, largest: np.float32) -> np.float32:
    best = _N_MAX / largest
    value_of_level = ONE / best
    least = ZERO
    for i in range(N_BLOCKS):
        level = np.float32(nearest_int(best * values[i]) & 255)
        difference = values[i] - value_of_level * level
        least += weights[i] * difference * difference
    for candidate in range(-4, 5):
        if candidate == 0:
            continue
        steps = (_TENTH * np.float32(candidate) + _N_MAX) / largest
        value_of_level = ONE / steps
        error = ZERO
        for i in range(N_BLOCKS):
            level = np.float32(min(63, int(nearest_int(steps * values[i]))))
            difference = values[i] - value_of_level * level
            error += weights[i] * difference * difference
        if error < least:
            least = error
            best = steps
    return best


@compiled
def _refine(
    values: Floats, weights: Floats, levels: Bytes, sum_xl: np.float32, sum_l2: np.float32
) -> np.float32:
    for _ in range(_ROUNDS):
        n_changed = 0
        for i in range(N_BLOCKS):
            weight = weights[i]
            level = np.float32(levels[i])
            rest_xl = sum_xl - weight * values[i] * level
            rest_l2 = sum_l2 - weight * level * level
            if rest_xl > ZERO and rest_l2 > ZERO:
                moved = min(63, int(nearest_int(values[i] * rest_l2 / rest_xl)))
                if moved != levels[i]:
                    new = np.float32(moved)
                    rest_xl += weight * values[i] * new
                    rest_l2 += weight * new * new
                    if rest_xl * rest_xl * sum_l2 > sum_xl * sum_xl * rest_l2:
                        levels[i] = moved & 255
                        sum_xl = rest_xl
                        sum_l2 = rest_l2
                        n_changed += 1
        if n_changed == 0:
            break
    return np.float32(sum_xl / sum_l2 if sum_l2 > ZERO else ZERO)


@compiled
def write_header(d: np.float32, d_min: np.float32, levels: Bytes, out: Bytes) -> None:
    """Write the header drawn above; `levels` has those of the scales, then those of the minima."""
    scales = levels[:N_BLOCKS]
    minima = levels[N_BLOCKS:]
    write_half(d, out, 0)
    write_half(d_min, out, 2)
    for i in range(4):
        high = i + 4
        out[4 + i] = (scales[i] | (scales[high] >> 4 << 6)) & 255
        out[8 + i] = (minima[i] | (minima[high] >> 4 << 6)) & 255
        out[12 + i] = (scales[high] & 15) | ((minima[high] & 15) << 4)


@compiled
def read_scale(header: Bytes, i: int) -> np.float32:
    """The scale of block `i` as a reader will compute it."""
    d = read_half(header, 0)
    bits = np.int64(header[4 + i] & 63)
    if i >= 4:
        bits = np.int64((header[8 + i] & 15) | (header[i] >> 6 << 4))
    return np.float32(d * np.float32(bits))


@compiled
def read_minimum(header: Bytes, i: int) -> np.float32:
    """The distance of the minimum of block `i` below zero, as a reader will compute it."""
    d_min = read_half(header, 2)
    bits = np.int64(header[8 + i] & 63)
    if i >= 4:
        bits = np.int64((header[8 + i] >> 4) | (header[4 + i] >> 6 << 4))
    return np.float32(d_min * np.float32(bits))
