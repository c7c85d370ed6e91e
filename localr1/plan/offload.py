"""Owns the search for what goes to the GPUs: how many layers, and how many layers' experts. Pure.

Experts go to the host before anything else does: a token needs a few of them, but all of the rest.
Only when every expert is there and it is still too much, whole layers follow, the first ones first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Split:
    """Who computes what. The last layers lie on the GPUs, in the order of the GPUs."""

    layers: tuple[int, ...]
    """Layers per GPU; the output layer counts as one."""
    n_host_experts: int = 0
    """The experts of that many first layers stay on the host."""

    @property
    def n_gpu_layers(self) -> int:
        """Layers on any GPU."""
        return sum(self.layers)


Fit = Callable[[int, int], Split | None]
"""From layers on the GPUs and layers with host experts to a split that fits, None without one."""


def best_split(
    fit: Fit, *, n_layers: tuple[int, int], n_host_experts: tuple[int, int]
) -> Split | None:
    """The most on the GPUs within the given bounds, both ends included; None if nothing fits.

    It relies on `fit` being monotone: what fits also fits with less on the GPUs.
    """
    fewest, most = n_layers
    fewest_experts, most_experts = n_host_experts
    with_all = _first(lambda k: fit(most, k), fewest_experts, most_experts)
    if with_all is not None:
        return with_all
    found = _first(lambda n_less: fit(most - n_less, most_experts), 0, most - fewest)
    if found is None:
        return None
    # what is left of the room may do for the experts of some of the layers that are there
    return _first(lambda k: fit(found.n_gpu_layers, k), fewest_experts, most_experts)


def fill_in_order(costs: Sequence[int], rooms: Sequence[int], first_extra: int) -> list[int] | None:
    """How many consecutive layers each GPU takes when one is filled after the other.

    `costs` are bytes per layer, `rooms` bytes per GPU beside what it needs anyway, `first_extra`
    bytes that the first GPU in use needs on top. None if some layers are left over.
    """
    taken = [0] * len(rooms)
    layer, is_first = 0, True
    for i, room in enumerate(rooms):
        left = room - first_extra if is_first else room
        while layer < len(costs) and costs[layer] <= left:
            left -= costs[layer]
            taken[i] += 1
            layer += 1
        is_first = is_first and not taken[i]
    return taken if layer == len(costs) else None


def in_proportion(n_layers: int, weights: Sequence[int]) -> list[int]:
    """Layers per GPU as llama.cpp spreads them without being told: by free memory.

    Source: `load_tensors` in llama.cpp's src/llama-model.cpp: a layer goes to the first device
    whose share of the sum is not used up yet.
    """
    total = sum(weights) or 1
    bounds, reached = [0], 0
    for weight in weights:
        reached += weight
        bounds.append(-(-n_layers * reached // total))
    return [end - start for start, end in pairwise(bounds)]


def _first(fit: Callable[[int], Split | None], low: int, high: int) -> Split | None:
    """The split of the smallest number in [low, high] for which there is one, by bisection."""
    found = fit(low)
    if found is not None or low == high:
        return found
    found = fit(high)
    if found is None:
        return None
    while low < high - 1:
        middle = (low + high) // 2
        split = fit(middle)
        if split is None:
            low = middle
        else:
            high, found = middle, split
    return found
