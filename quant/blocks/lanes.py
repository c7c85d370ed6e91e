"""Owns how blocks lie in memory while they are worked on: one block per lane, 64 lanes at a time.

Value `i` of the block in lane `j` is at `i * LANES + j`, so that neighbours in memory belong to
different blocks and one instruction serves as many blocks as the machine has lanes. 64 lanes are
a multiple of every vector width in use, and the arrays of a search still fit the first-level cache.

Arrays are flat and there is one per role (inputs, weights, parameters, sums): with all offsets
known, the compiler can prove that a loop over the lanes does not overtake itself.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from quant.blocks.compiled import compiled

Floats: TypeAlias = npt.NDArray[np.float32]
Bytes: TypeAlias = npt.NDArray[np.uint8]

LANES = 64

STEP = 4
"""Values of a block per pass over the lanes: sums stay in registers that long."""

N_SUMS = 3

ZERO = np.float32(0)
ONE = np.float32(1)


@compiled
def spread(values: Floats, first_block: int, n_blocks: int, size: int, lanes: Floats) -> None:
    """Lay `n_blocks` consecutive blocks of `size` values into the lanes.

    Blocks are counted around the end of `values`: importance weights serve every row.
    """
    for lane in range(n_blocks):
        start = (first_block + lane) * size % values.size
        for i in range(size):
            lanes[i * LANES + lane] = values[start + i]


@compiled
def clear(sums: Floats) -> None:
    """Set all sums to minus zero, the neutral element of float addition: -0 + x is x, sign and all."""
    for i in range(N_SUMS * LANES):
        sums[i] = -ZERO
