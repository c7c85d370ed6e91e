"""Owns how much of the disk shards take while they come and go: pure arithmetic, no disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path


def in_order_of_use(uses: Sequence[frozenset[Path]]) -> list[Path]:
    """Every shard once, by the first tensor that reads it; by name where one reads several."""
    return list(dict.fromkeys(path for paths in uses for path in sorted(paths)))


def most_at_once(
    uses: Sequence[frozenset[Path]],
    sizes: Mapping[Path, int],
    missing: Mapping[Path, int],
    *,
    deletes: bool,
) -> int:
    """The most bytes that shards take at a time beyond what they take now.

    While the shards of one tensor are in use, the next shard is fetched. `missing` are the bytes
    of each that are not there yet. With `deletes` a shard goes after its last tensor.
    """
    last_use = {path: number for number, paths in enumerate(uses) for path in paths}
    order = in_order_of_use(uses)
    used: set[Path] = set()
    n_fetched = n_bytes = most = 0
    for number, paths in enumerate(uses):
        used |= paths
        while n_fetched < min(len(used) + 1, len(order)):
            n_bytes += missing[order[n_fetched]]
            n_fetched += 1
        most = max(most, n_bytes)
        if deletes:
            n_bytes -= sum(sizes[path] for path in paths if last_use[path] == number)
    return most
