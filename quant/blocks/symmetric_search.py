"""Owns the search for one signed scale: x is about scale * level, levels -n_max to n_max - 1.

The value of largest magnitude gets a level near -n_max, so a scale may be negative. Nineteen step
sizes are tried; the weighted least squares scale of the best one is kept.

Source: llama.cpp ggml-quants.c, make_qx_quants with rmse_type 1.
"""

from __future__ import annotations

import numpy as np

from quant.blocks.compiled import compiled, select
from quant.blocks.lanes import LANES, STEP, ZERO, Bytes, Floats, Lanes
from quant.blocks.rounding import MAGIC, nearest_int

# Rows of the array of parameters, each LANES long.
SCALE = 0 * LANES
BEST_STEPS = 1 * LANES  # what the levels of the best candidate were computed from
_GAIN = 2 * LANES  # of the best candidate: how much of the squares it explains
_KEPT = 3 * LANES
_NEXT = _KEPT  # the same three rows again: what is known after the next comparison
_STEPS = 6 * LANES  # levels per unit: the candidate being tried
_EXTREME = 7 * LANES  # the value of largest magnitude, with its sign
N_PARAMETERS = 8

_EPSILON = np.float32(1e-15)  # GROUP_MAX_EPS
_TENTH = np.float32(0.1)
_CANDIDATES = 9  # on either side


@compiled
def search(lanes: Lanes, size: int, n_max: np.float32) -> None:
    """Find SCALE and BEST_STEPS of the block of `size` values in every lane; both 0 for zeros."""
    p, sums = lanes.p, lanes.sums
    _find_extreme(lanes.x, p, size)
    for row in range(_KEPT):
        p[row] = ZERO
    _try_steps(p, n_max)
    _sum_levels(lanes, size, n_max)
    _start(p, sums)
    for i in range(-_CANDIDATES, _CANDIDATES + 1):
        if i != 0:
            _try_steps(p, n_max + _TENTH * np.float32(i))
            _sum_levels(lanes, size, n_max)
            _keep_better(p, sums)
    for lane in range(LANES):
        if abs(p[_EXTREME + lane]) < _EPSILON:
            p[SCALE + lane] = ZERO
            p[BEST_STEPS + lane] = ZERO


@compiled
def round_levels(lanes: Lanes, size: int, n_max: np.int32, scales: Floats, levels: Bytes) -> None:
    """Levels plus `n_max` for given scales; where a scale is 0 those of the search.

    A block of zeros gets 0 instead of the level `n_max` that stands for zero; nothing reads it,
    its scale is 0.
    """
    x, p = lanes.x, lanes.p
    for i in range(size):
        for lane in range(LANES):
            value = x[i * LANES + lane]
            searched = p[BEST_STEPS + lane] * value
            level = nearest_int(select(scales[lane] == ZERO, searched, value / scales[lane]))
            level = max(-n_max, min(n_max - np.int32(1), level)) + n_max
            is_zero = (scales[lane] == ZERO) & (p[BEST_STEPS + lane] == ZERO)
            levels[i * LANES + lane] = np.int32(0) if is_zero else level


@compiled
def _find_extreme(x: Floats, p: Floats, size: int) -> None:
    for lane in range(LANES):
        p[_EXTREME + lane] = ZERO
    for first in range(0, size, STEP):
        for lane in range(LANES):
            extreme = p[_EXTREME + lane]
            for i in range(first, first + STEP):
                value = x[i * LANES + lane]
                extreme = select(abs(value) > abs(extreme), value, extreme)
            p[_EXTREME + lane] = extreme


@compiled
def _try_steps(p: Floats, n_steps: np.float32) -> None:
    for lane in range(LANES):
        p[_STEPS + lane] = -n_steps / p[_EXTREME + lane]


@compiled
def _sum_levels(lanes: Lanes, size: int, n_max: np.float32) -> None:
    x, w, _, p, sums = lanes
    top = n_max - np.float32(1)
    for i in range(2 * LANES):
        sums[i] = ZERO
    for first in range(0, size, STEP):
        for lane in range(LANES):
            steps = p[_STEPS + lane]
            sum_xl = sums[lane]
            sum_l2 = sums[LANES + lane]
            for i in range(first, first + STEP):
                value = x[i * LANES + lane]
                weight = w[i * LANES + lane]
                level = (steps * value + MAGIC) - MAGIC
                level = max(-n_max, min(top, level))
                sum_xl += weight * value * level
                sum_l2 += weight * level * level
            sums[lane] = sum_xl
            sums[LANES + lane] = sum_l2


@compiled
def _start(p: Floats, sums: Floats) -> None:
    for lane in range(LANES):
        sum_xl, sum_l2 = sums[lane], sums[LANES + lane]
        scale = select(sum_l2 != ZERO, sum_xl / sum_l2, ZERO)
        p[SCALE + lane] = scale
        p[_GAIN + lane] = scale * sum_xl
        p[BEST_STEPS + lane] = p[_STEPS + lane]


@compiled
def _keep_better(p: Floats, sums: Floats) -> None:
    # Into other rows: choosing between new and old in place would become a masked store.
    for lane in range(LANES):
        sum_xl, sum_l2 = sums[lane], sums[LANES + lane]
        scale = sum_xl / sum_l2
        gain = p[_GAIN + lane]
        is_better = (sum_l2 > ZERO) & (sum_xl * sum_xl > gain * sum_l2)
        p[_NEXT + SCALE + lane] = select(is_better, scale, p[SCALE + lane])
        p[_NEXT + BEST_STEPS + lane] = select(is_better, p[_STEPS + lane], p[BEST_STEPS + lane])
        p[_NEXT + _GAIN + lane] = select(is_better, scale * sum_xl, gain)
    for i in range(_KEPT):
        p[i] = p[_NEXT + i]
