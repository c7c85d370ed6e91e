"""Owns the shards of a hub's checkpoint: their headers at once, each of them when it is needed.

Shards are fetched in the order in which the output's tensors need them, the next one while the
current one is converted. With `deletes` each goes when its last tensor is safe in the output. One
that is needed early and late stays in between: a disk is cheaper than a network.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from localr1.errors import DownloadError, NoRoomError
from localr1.hub.client import HubClient
from localr1.hub.download import Download, part_of, size_of
from localr1.hub.fetcher import Fetcher
from localr1.hub.remote_file import HeadReader, RemoteFile
from localr1.hub.repository import Repository
from localr1.hub.room import in_order_of_use, most_at_once
from quant.source.safetensors import StoredTensor, checked_table
from quant.source.shard_files import WeightFormat

_N_HEADS_AT_ONCE = 8
_FILE_NAME = re.compile(r"\w[\w.\-]{0,250}", re.ASCII)


@dataclass(frozen=True, slots=True)
class FetchProgress:
    """How far the shards have come that this run needs."""

    bytes_done: int
    """Those that were there before included."""
    bytes_total: int


class HubShards:
    """A `quant.source.shard_store.ShardStore` of one repository."""

    def __init__(
        self,
        client: HubClient,
        repository: Repository,
        *,
        deletes: bool,
        on_wait: Callable[[FetchProgress], None],
    ) -> None:
        """`on_wait` is called again and again while the conversion has to wait for a shard."""
        self._client = client
        self._repository = repository
        self._deletes = deletes
        self._on_wait = on_wait
        self._fetcher = Fetcher(self._download)
        self._files: dict[Path, RemoteFile] = {}
        self._bytes_there: dict[Path, int] = {}
        self._coming: list[Path] = []
        self._ahead: Path | None = None  # what nobody needs yet
        self._room = 0  # bytes that shards may take from now on before one is given back

    @property
    def deletes(self) -> bool:
        """Whether shards go away once they are used up."""
        return self._deletes

    @property
    def progress(self) -> FetchProgress:
        """Of all shards of this run."""
        total = sum(self._size(path) for path in self._bytes_there)
        return FetchProgress(sum(self._bytes_there.values()), total)

    def close(self) -> None:
        """Stop fetching; what came is kept for the next run."""
        self._fetcher.stop()

    def names(self, directory: Path) -> Sequence[str]:
        """All files of the repository that lie at its top and could be shards."""
        return sorted(name for name in self._repository.files if _FILE_NAME.fullmatch(name))

    def tables(
        self, paths: Sequence[Path], weight_format: WeightFormat
    ) -> Iterator[dict[str, StoredTensor]]:
        """Read the headers, several at a time. Raises: DownloadError if a shard is missing."""
        for path in paths:
            if path.name not in self._repository.files:
                raise DownloadError(f"{self._repository.name} lacks the shard {path.name}")
            self._files[path] = RemoteFile(
                self._client, self._repository, path.name, self._fetcher.pause
            )
        with ThreadPoolExecutor(_N_HEADS_AT_ONCE, thread_name_prefix="head") as pool:
            yield from pool.map(self._table, paths)

    def identity(self, path: Path) -> str:
        """Its hash, or the commit that it belongs to."""
        file = self._files[path]
        return f"{file.sha256 or self._repository.commit} {self._size(path)}"

    def expect(self, uses: Sequence[frozenset[Path]], target: Path, n_bytes: int) -> None:
        """Plan the order, and see that there is room. Raises: NoRoomError."""
        self._coming = in_order_of_use(uses)
        if not self._coming:
            return
        sizes = {path: self._size(path) for path in self._coming}
        missing = {path: self._missing(path) for path in self._coming}
        self._bytes_there = {path: sizes[path] - missing[path] for path in self._coming}
        self._room = most_at_once(uses, sizes, missing, deletes=self._deletes)
        self._require_room(self._coming[0].parent, target.parent, n_bytes)

    def fetch(self, path: Path) -> None:
        """Wait until the shard is there. Raises: what `Download.run` does."""
        if path == self._ahead:
            self._ahead = None
        else:
            self._start(path)
        self._fetcher.wait(path, lambda: self._on_wait(self.progress))
        self._look_ahead()

    def give_back(self, path: Path) -> None:
        """Delete it, if that is wanted."""
        if self._deletes:
            path.unlink(missing_ok=True)
            self._room += self._size(path)
            self._look_ahead()

    def _table(self, path: Path) -> dict[str, StoredTensor]:
        head = HeadReader(self._files[path])
        return checked_table(path, self._size(path), head.read)

    def _size(self, path: Path) -> int:
        n_bytes = self._files[path].n_bytes
        if n_bytes is None:
            raise DownloadError(f"the hub does not say how long {self._files[path].title} is")
        return n_bytes

    def _missing(self, path: Path) -> int:
        """Bytes of the shard that are still to come."""
        if size_of(path) == self._size(path):
            return 0
        return max(self._size(path) - size_of(part_of(path)), 0)

    def _require_room(self, directory: Path, beside: Path, n_output_bytes: int) -> None:
        n_bytes, what = self._room, "the shards of"
        if directory.stat().st_dev == beside.stat().st_dev:
            n_bytes, what = n_bytes + n_output_bytes, "the output and the shards of"
        n_free = shutil.disk_usage(directory).free
        if n_free < n_bytes:
            raise NoRoomError(
                f"{what} {self._repository.name} need {n_bytes:,} bytes at a time, the disk of "
                f"{directory} has {n_free:,} left",
                hint="set LOCALR1_HOME to a directory on another disk"
                if self._deletes
                else "--delete-shards takes less, or set LOCALR1_HOME to another disk",
            )

    def _look_ahead(self) -> None:
        """Begin with the next shard, as soon as there is room for it."""
        if self._ahead is None and self._coming and self._missing(self._coming[0]) <= self._room:
            self._ahead = self._coming[0]
            self._start(self._ahead)

    def _start(self, path: Path) -> None:
        self._coming.remove(path)
        self._room -= self._missing(path)
        self._fetcher.start(path)

    def _download(self, path: Path) -> None:
        """In the fetcher's thread."""
        if size_of(path) == self._size(path):
            return

        def report(n_bytes: int) -> None:
            self._bytes_there[path] = n_bytes
            self._fetcher.pause(0)

        Download(self._files[path], path, on_bytes=report).run(self._fetcher.pause)
