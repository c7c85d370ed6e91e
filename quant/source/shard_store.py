"""Owns what a conversion may ask about the files of weights, wherever they are.

They are on this disk, or they come from somewhere while they are needed. How they come is no
matter of this package: who knows brings a `ShardStore`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from quant.errors import CheckpointDamagedError, unreadable
from quant.source.safetensors import StoredTensor
from quant.source.shard_files import WeightFormat


class ShardStore(Protocol):
    """The files of one checkpoint. Paths are where they lie, or will lie."""

    def names(self, directory: Path) -> Sequence[str]:
        """All files of the checkpoint, sorted."""
        ...

    def tables(
        self, paths: Sequence[Path], weight_format: WeightFormat
    ) -> Iterable[dict[str, StoredTensor]]:
        """The tensors of each shard. Raises: CheckpointDamagedError for any lie."""
        ...

    def identity(self, path: Path) -> str:
        """What is another if the shard's content is another."""
        ...

    def expect(self, uses: Sequence[frozenset[Path]], target: Path, n_bytes: int) -> None:
        """What will be read: the shards of every tensor that is left, in their order.

        Meanwhile `n_bytes` more are written beside `target`. Raises if there is no room for both.
        """
        ...

    def fetch(self, path: Path) -> None:
        """Return when the shard lies at its path."""
        ...

    @property
    def deletes(self) -> bool:
        """Whether a shard that is given back goes away."""
        ...

    def give_back(self, path: Path) -> None:
        """Nothing of this run, nor of one that goes on with it, needs the shard again."""
        ...


class ShardsOnDisk:
    """Files that are there."""

    deletes = False

    def names(self, directory: Path) -> Sequence[str]:
        """All files of the directory."""
        try:
            return sorted(path.name for path in directory.iterdir())
        except OSError as exc:
            raise unreadable(directory, exc) from exc

    def tables(
        self, paths: Sequence[Path], weight_format: WeightFormat
    ) -> Iterator[dict[str, StoredTensor]]:
        """Read from each file when it is its turn."""
        for path in paths:
            if not path.is_file():
                raise CheckpointDamagedError(f"{path.parent} lacks the shard {path.name}")
            yield weight_format.read_table(path)

    def identity(self, path: Path) -> str:
        """Size and date."""
        try:
            status = path.stat()
        except OSError as exc:
            raise unreadable(path, exc) from exc
        return f"{status.st_size} {status.st_mtime_ns}"

    def expect(self, uses: Sequence[frozenset[Path]], target: Path, n_bytes: int) -> None:
        """They are there; the output looks after its own room."""

    def fetch(self, path: Path) -> None:
        """It is there."""

    def give_back(self, path: Path) -> None:
        """It is the user's."""


ON_DISK: ShardStore = ShardsOnDisk()
