"""Owns what a memory copy alone tells of a processor: wide ranges, until somebody calibrates. Pure.

The rest is what it takes a core of a common processor, give or take half of it or twice as much;
the numbers in the middle were measured on two cores of a Zen 4 server.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from localr1.calibration.measured import Identity, Measured
from localr1.plan.rate import LookPrice, Prices, WeightPrice

# decoding reads what a copy reads and writes: types of weights that take work to unpack are slower
_SHARE_OF_COPY = (0.4, 1.1)
_MORE_OR_LESS = (2.0, 0.5)


def roughly_measured(identity: Identity, copies_per_s: Sequence[float]) -> Measured:
    """Prices for weights of any type; those of prompts stay unknown."""
    middle, best = statistics.median(copies_per_s), max(copies_per_s)
    slow, fast = (
        Prices(
            weights=WeightPrice(byte_s=1 / (share * copied)),
            operation_s=factor * 1e-6,
            looks=LookPrice(
                look_s=factor * 30e-9 / identity.n_threads,
                number_s=factor * 0.08e-9 / identity.n_threads,
            ),
            token_s=factor * 50e-6,
            vocabulary_s=factor * 1.5e-9,
        )
        for share, copied, factor in zip(_SHARE_OF_COPY, (middle, best), _MORE_OR_LESS, strict=True)
    )
    return Measured(
        identity=identity,
        copy_bytes_per_s=(middle, best),
        slow=slow,
        fast=fast,
        is_rough=True,
    )
