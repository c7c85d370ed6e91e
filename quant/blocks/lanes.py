"""Owns how blocks lie in memory while they are worked on: one block per lane, 64 lanes at a time.

Value `i` of the block in lane `j` is at `i * LANES + j`, so that neighbours in memory belong to
different blocks and one instruction serves as many blocks as the machine has lanes. 64 lanes are
a multiple of every vector width in use, and the arrays of a search still fit the first-level cache.

Arrays are flat and there is one per role (inputs, weights, parameters, sums): with all offsets
known, the compiler can prove that a loop over the lanes does not overtake itself.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

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


class Lanes(NamedTuple):
    """What a search works on. A tuple, so that compiled code may be handed all of it at once."""

    x: Floats
    """The values."""
    w: Floats
    """How much each value counts."""
    levels: Floats
    """Levels of the candidate being tried."""
    p: Floats
    """A row of LANES numbers per parameter of the search."""
    sums: Floats
    """N_SUMS rows of sums."""


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
def new_lanes(size: int, n_parameters: int) -> Lanes:
    """Room for LANES blocks of `size` values. Lanes without a block compute on what is there."""
    return Lanes(
        x=np.zeros(size * LANES, np.float32),
        w=np.zeros(size * LANES, np.float32),
        levels=np.zeros(size * LANES, np.float32),
        p=np.zeros(n_parameters * LANES, np.float32),
        sums=np.zeros(N_SUMS * LANES, np.float32),
    )
