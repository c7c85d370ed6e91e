"""Owns how much an error in each value counts in a search.

Without importance weights large values count more; with them, importance times a magnitude that is
softened by the mean square of the surroundings (a superblock or a row).

Source: llama.cpp ggml-quants.c, the loops that fill `weights` before each search.
"""

from __future__ import annotations

import numpy as np

from quant.blocks.compiled import compiled
from quant.blocks.lanes import LANES, ZERO, Floats, Lanes


@compiled
def weigh_by_magnitude(lanes: Lanes, size: int) -> None:
    """Weight of a value: its magnitude plus the root mean square of its block."""
    x, w, sums = lanes.x, lanes.w, lanes.sums
    for lane in range(LANES):
        sums[lane] = ZERO
    for i in range(size):
        for lane in range(LANES):
            sums[lane] += x[i * LANES + lane] * x[i * LANES + lane]
    for lane in range(LANES):
        sums[lane] = np.sqrt(sums[lane] / np.float32(size))
    for i in range(size):
        for lane in range(LANES):
            w[i * LANES + lane] = sums[lane] + abs(x[i * LANES + lane])


@compiled
def weigh_by_importance(lanes: Lanes, size: int) -> None:
    """Multiply the importance weights that lie in `w` by softened magnitudes.

    The first row of sums holds for each lane what is added to the square of a value.
    """
    x, w, softening = lanes.x, lanes.w, lanes.sums
    for i in range(size):
        for lane in range(LANES):
            value = x[i * LANES + lane]
            w[i * LANES + lane] *= np.sqrt(softening[lane] + value * value)


@compiled
def sum_squares(values: Floats, first: int, n_groups: int, size: int, sums: Floats) -> None:
    """Sum the squares of each of `n_groups` consecutive groups of `size` values, in their order.

    Groups advance together: a sum in order is a chain of additions, and several chains overlap.
    """
    for group in range(n_groups):
        sums[group] = ZERO
    for i in range(size):
        for group in range(n_groups):
            value = values[first + group * size + i]
            sums[group] += value * value


@compiled
def weigh_by_square(lanes: Lanes, size: int) -> None:
    """Weight of a value: its square."""
    x, w = lanes.x, lanes.w
    for i in range(size * LANES):
        w[i] = x[i] * x[i]
