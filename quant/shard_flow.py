"""Owns which shards a run holds: opened for their first tensor, given back after their last.

Tensors are written in the output's order, which is not the checkpoint's: llama.cpp puts the output
matrix first, and that is often in the last shard. So a shard's last tensor is looked up, not
guessed; a shard that is needed again later is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from quant.recipe import TypedTensor
from quant.source.safetensors import MappedShards, StoredTensor, with_scales
from quant.source.shard_store import ON_DISK, ShardStore


class ShardFlow:
    """The shards of one run."""

    def __init__(self, store: ShardStore, tensors: Sequence[TypedTensor]) -> None:
        """`tensors` are those that are left to write, in order."""
        self._store = store
        self.uses = [_paths(item.tensor.source.stored) for item in tensors]
        """The shards of every tensor."""
        self._ends: dict[str, list[Path]] = {}
        last_user = {
            path: item.tensor.name
            for item, paths in zip(tensors, self.uses, strict=True)
            for path in paths
        }
        for path, name in last_user.items():
            self._ends.setdefault(name, []).append(path)
        self.mapped = MappedShards(
            (stored for item in tensors for stored in item.tensor.source.stored),
            fetch=None if store is ON_DISK else store.fetch,
        )

    def written(self, item: TypedTensor, settle: Callable[[], None]) -> None:
        """A tensor is complete: give back what no other needs, after making sure of the output."""
        for path in self._ends.get(item.tensor.name, ()):
            self.mapped.drop(path)
            if self._store.deletes:
                settle()
            self._store.give_back(path)


def _paths(stored: Sequence[StoredTensor]) -> frozenset[Path]:
    return frozenset(tensor.path for tensor in with_scales(stored))
