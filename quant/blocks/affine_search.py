"""Owns the search for scale and minimum: x is about scale * level + minimum, levels 0 to n_max.

For every block a series of step sizes is tried; each gives levels, the levels give scale and
minimum by weighted least squares, and the best squared error wins. The minimum of a winner
replaces the one that the next levels start from and divide the range above, so candidates depend
on each other and must be tried in order.

Source: llama.cpp ggml-quants.c, make_qkx2_quants and make_qkx3_quants without mean absolute error;
the two do the same arithmetic.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from quant.blocks.compiled import compiled, select
from quant.blocks.lanes import LANES, N_SUMS, ONE, STEP, ZERO, Floats, Lanes
from quant.blocks.rounding import MAGIC

Candidates: TypeAlias = tuple[np.float32, np.float32, int]

SIZE = 32  # values of a block

# Rows of the array of parameters, each LANES long. First what is known of the best candidate:
MINIMUM = 0 * LANES
SCALE = 1 * LANES
ERROR = 2 * LANES
BEST_STEPS = 3 * LANES  # with BEST_ORIGIN: what its levels were computed from
BEST_ORIGIN = 4 * LANES
REACH = 5 * LANES  # largest magnitude among the values and the minima of all winners
LEAST_RANGE = 6 * LANES  # between the largest value and any of these minima
N_KEPT = 7 * LANES
NEXT = N_KEPT  # the same seven rows again: what is known after the next comparison
# then the candidate being tried, and what all candidates share.
STEPS = 14 * LANES  # levels per unit
TRIAL_SCALE = 15 * LANES
TRIAL_MINIMUM = 16 * LANES
LARGEST = 17 * LANES
SUM_W = 18 * LANES
SUM_WX = 19 * LANES
N_PARAMETERS = 20

DETERMINANT = LANES  # the row of sums that `_solve` reuses

# Levels before clamping stay below 2 * 32 * _MAX_RATIO < 2**22, and no quotient overflows.
_MAX_RATIO = np.float32(2.0**14)
_MAX_REACH = np.float32(2.0**100)
_MIN_RANGE = np.float32(2.0**-100)


@compiled
def search(lanes: Lanes, n_max: np.float32, candidates: Candidates) -> None:
    """Find SCALE, MINIMUM, BEST_STEPS and BEST_ORIGIN of the block in every lane.

    Candidates `(first, step, n)` have `first + step * i + n_max` levels over the range, i up to n.
    """
    first, step, n_candidates = candidates
    _find_extremes(lanes.x, lanes.p)
    _sum_weights(lanes)
    _start(lanes.p, n_max)
    _sum_levels(lanes, n_max)
    _sum_errors(lanes)
    lanes.p[ERROR : ERROR + LANES] = lanes.sums[:LANES]
    for i in range(n_candidates + 1):
        _try_steps(lanes.p, first + step * np.float32(i) + n_max)
        _sum_levels(lanes, n_max)
        _solve(lanes.p, lanes.sums)
        _sum_errors(lanes)
        _keep_better(lanes.p, lanes.sums)


@compiled
def is_ordinary(p: Floats, lane: int) -> bool:
    """Whether all roundings of this lane's search stayed where adding MAGIC rounds rightly.

    Blocks far from zero with almost no range, or of extreme magnitude, are for llama.cpp itself.
    """
    reach = p[REACH + lane]
    least = p[LEAST_RANGE + lane]
    return bool(reach < _MAX_REACH and least > _MIN_RANGE and reach < _MAX_RATIO * least)


@compiled
def _find_extremes(x: Floats, p: Floats) -> None:
    p[MINIMUM : MINIMUM + LANES] = x[:LANES]
    p[LARGEST : LARGEST + LANES] = x[:LANES]
    for first in range(0, SIZE, STEP):
        for lane in range(LANES):
            low = p[MINIMUM + lane]
            high = p[LARGEST + lane]
            for i in range(first, first + STEP):
                low = min(low, x[i * LANES + lane])
                high = max(high, x[i * LANES + lane])
            p[MINIMUM + lane] = low
            p[LARGEST + lane] = high


@compiled
def _sum_weights(lanes: Lanes) -> None:
    x, w, p = lanes.x, lanes.w, lanes.p
    for lane in range(LANES):
        p[SUM_W + lane] = w[lane]
        p[SUM_WX + lane] = w[lane] * x[lane]
    for i in range(1, SIZE):
        for lane in range(LANES):
            p[SUM_W + lane] += w[i * LANES + lane]
            p[SUM_WX + lane] += w[i * LANES + lane] * x[i * LANES + lane]


@compiled
def _start(p: Floats, n_max: np.float32) -> None:
    for lane in range(LANES):
        low = p[MINIMUM + lane]
        high = p[LARGEST + lane]
        largest = max(high, -low)
        low = min(low, ZERO)
        span = high - low
        steps = n_max / span
        p[MINIMUM + lane] = low
        p[REACH + lane] = largest
        p[LEAST_RANGE + lane] = span if span != ZERO else ONE  # nothing to search, all is exact
        p[STEPS + lane] = steps
        p[SCALE + lane] = ONE / steps
        p[TRIAL_SCALE + lane] = ONE / steps
        p[TRIAL_MINIMUM + lane] = low
        p[BEST_STEPS + lane] = steps if span != ZERO else ZERO
        p[BEST_ORIGIN + lane] = low


@compiled
def _try_steps(p: Floats, n_steps: np.float32) -> None:
    for lane in range(LANES):
        p[STEPS + lane] = n_steps / (p[LARGEST + lane] - p[MINIMUM + lane])


@compiled
def _sum_levels(lanes: Lanes, n_max: np.float32) -> None:
    x, w, levels, p, sums = lanes
    for i in range(N_SUMS * LANES):
        sums[i] = ZERO
    for first in range(0, SIZE, STEP):
        for lane in range(LANES):
            steps = p[STEPS + lane]
            origin = p[MINIMUM + lane]
            sum_l = sums[lane]
            sum_l2 = sums[LANES + lane]
            sum_xl = sums[2 * LANES + lane]
            for i in range(first, first + STEP):
                value = x[i * LANES + lane]
                level = (steps * (value - origin) + MAGIC) - MAGIC
                level = max(ZERO, min(n_max, level))
                levels[i * LANES + lane] = level
                weighted = w[i * LANES + lane] * level
                sum_l += weighted
                sum_l2 += weighted * level
                sum_xl += weighted * value
            sums[lane] = sum_l
            sums[LANES + lane] = sum_l2
            sums[2 * LANES + lane] = sum_xl


@compiled
def _solve(p: Floats, sums: Floats) -> None:
    for lane in range(LANES):
        sum_l = sums[lane]
        sum_l2 = sums[LANES + lane]
        sum_xl = sums[2 * LANES + lane]
        sum_w = p[SUM_W + lane]
        sum_x = p[SUM_WX + lane]
        determinant = sum_w * sum_l2 - sum_l * sum_l
        scale = (sum_w * sum_xl - sum_x * sum_l) / determinant
        minimum = (sum_l2 * sum_x - sum_l * sum_xl) / determinant
        scale_from_zero = sum_xl / sum_l2
        p[TRIAL_SCALE + lane] = select(minimum > ZERO, scale_from_zero, scale)
        p[TRIAL_MINIMUM + lane] = min(minimum, ZERO)
        sums[DETERMINANT + lane] = determinant


@compiled
def _sum_errors(lanes: Lanes) -> None:
    x, w, levels, p, sums = lanes
    for lane in range(LANES):
        sums[lane] = ZERO
    for first in range(0, SIZE, STEP):
        for lane in range(LANES):
            scale = p[TRIAL_SCALE + lane]
            minimum = p[TRIAL_MINIMUM + lane]
            error = sums[lane]
            for i in range(first, first + STEP):
                fitted = scale * levels[i * LANES + lane] + minimum
                difference = fitted - x[i * LANES + lane]
                error += w[i * LANES + lane] * (difference * difference)
            sums[lane] = error


@compiled
def _keep_better(p: Floats, sums: Floats) -> None:
    # Into other rows: choosing between new and old in place would become a masked store, which
    # costs more than the whole comparison on some processors.
    for lane in range(LANES):
        error = sums[lane]
        origin = p[MINIMUM + lane]
        minimum = p[TRIAL_MINIMUM + lane]
        reach = max(p[REACH + lane], -minimum)
        least_range = min(p[LEAST_RANGE + lane], p[LARGEST + lane] - minimum)
        is_better = (sums[DETERMINANT + lane] > ZERO) & (error < p[ERROR + lane])
        p[NEXT + MINIMUM + lane] = select(is_better, minimum, origin)
        p[NEXT + SCALE + lane] = select(is_better, p[TRIAL_SCALE + lane], p[SCALE + lane])
        p[NEXT + ERROR + lane] = select(is_better, error, p[ERROR + lane])
        p[NEXT + BEST_STEPS + lane] = select(is_better, p[STEPS + lane], p[BEST_STEPS + lane])
        p[NEXT + BEST_ORIGIN + lane] = select(is_better, origin, p[BEST_ORIGIN + lane])
        p[NEXT + REACH + lane] = select(is_better, reach, p[REACH + lane])
        p[NEXT + LEAST_RANGE + lane] = select(is_better, least_range, p[LEAST_RANGE + lane])
    for i in range(N_KEPT):
        p[i] = p[NEXT + i]
