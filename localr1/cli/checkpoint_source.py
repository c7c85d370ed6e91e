"""Owns where `convert` gets a checkpoint from: a path, or a repository on a hub.

A repository is asked for here, after the user's word on the network was heard; what comes is
narrated, shown as a bar while the conversion has to wait for it, and told as `fetch` events.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from localr1.cli.output import Output
from localr1.errors import OfflineError, UsageError
from localr1.paths import typed_path
from localr1.settings import cache_dir
from localr1.units import format_bytes

if TYPE_CHECKING:
    from localr1.hub.names import RepositoryName
    from localr1.hub.shards import FetchProgress, HubShards
    from quant.source.shard_store import ShardStore

_EVENT_EVERY_S = 0.5


@dataclass(slots=True)
class CheckpointSource:
    """A checkpoint that can be converted."""

    path: Path
    """A directory, or a file in it."""
    store: ShardStore
    """Who has the weights."""
    fetching: _Fetching | None = None

    def note(self) -> str:
        """What to say beside the conversion's progress; also the moment for events."""
        return self.fetching.beside() if self.fetching else ""


@contextlib.contextmanager
def checkpoint_source(
    source: str, output: Output, *, is_offline: bool, delete_shards: bool
) -> Iterator[CheckpointSource]:
    """What `source` means, ready to be read while the block runs.

    Raises: UsageError, OfflineError, and what `localr1.hub.checkpoint.hub_checkpoint` does.
    """
    from localr1.hub.names import repository_meant
    from quant.source.shard_store import ON_DISK

    path = typed_path(source)
    name = repository_meant(source)
    if name is not None:
        with _hub_source(name, output, is_offline=is_offline, delete_shards=delete_shards) as found:
            yield found
        return
    if delete_shards:
        raise UsageError(
            "--delete-shards is for repositories", hint=f"{source} is yours: delete it yourself"
        )
    yield CheckpointSource(path, ON_DISK)


@contextlib.contextmanager
def _hub_source(
    name: RepositoryName, output: Output, *, is_offline: bool, delete_shards: bool
) -> Iterator[CheckpointSource]:
    from localr1.hub.access import hub_access, is_offline_wanted

    if is_offline or is_offline_wanted(os.environ):
        raise OfflineError(
            f"there is no {name} on this disk, and fetching it needs the network",
            hint="leave --offline and HF_HUB_OFFLINE away, or give a directory",
        )
    from localr1.hub.checkpoint import hub_checkpoint

    access = hub_access(os.environ)
    fetching = _Fetching(output)
    output.narrate(f"asking {access.host} for {name}")
    if delete_shards:
        output.narrate("shards will be deleted, so the result cannot be compared with them")
    with hub_checkpoint(
        name,
        access,
        cache_dir(),
        deletes=delete_shards,
        on_wait=fetching.waiting,
        sleep=fetching.sleep,
    ) as found:
        fetching.shards = found.shards
        output.detail(f"commit {found.commit}, in {found.directory}")
        try:
            yield CheckpointSource(found.directory, found.shards, fetching)
        except KeyboardInterrupt:
            if found.shards.progress.bytes_done:
                output.narrate("what was fetched was kept")
            raise
        if found.shards.progress.bytes_done and not delete_shards:
            output.narrate(f"the checkpoint stays in {found.directory}")


class _Fetching:
    """What is told about shards on their way."""

    def __init__(self, output: Output) -> None:
        self.shards: HubShards | None = None
        self._output = output
        self._started_s = self._told_s = time.monotonic()
        self._bytes_before = -1

    def sleep(self, seconds: float) -> None:
        """Before another attempt to get the first answers."""
        self._output.narrate(f"the hub does not answer as it should; again in {seconds:.0f} s")
        time.sleep(seconds)

    def waiting(self, progress: FetchProgress) -> None:
        """The conversion has nothing to do but wait."""
        speed = self._speed(progress)
        self._output.progress(
            "fetching",
            progress.bytes_done,
            progress.bytes_total,
            note=f"of {format_bytes(progress.bytes_total)}, {speed / 1e6:.0f} MB/s",
        )
        self._tell(progress, speed)

    def beside(self) -> str:
        """The conversion is at work, and so perhaps is the network."""
        if self.shards is None:
            return ""
        progress = self.shards.progress
        if progress.bytes_done >= progress.bytes_total:
            return ""
        self._tell(progress, self._speed(progress))
        return f", {progress.bytes_done / progress.bytes_total:.0%} fetched"

    def _speed(self, progress: FetchProgress) -> float:
        if self._bytes_before < 0:
            self._started_s, self._bytes_before = time.monotonic(), progress.bytes_done
        elapsed_s = max(time.monotonic() - self._started_s, 1e-3)
        return (progress.bytes_done - self._bytes_before) / elapsed_s

    def _tell(self, progress: FetchProgress, speed: float) -> None:
        now_s = time.monotonic()
        if not self._output.as_json or now_s - self._told_s < _EVENT_EVERY_S:
            return
        self._told_s = now_s
        self._output.json(
            {
                "type": "fetch",
                "t": round(now_s - self._started_s, 3),
                "bytes_done": progress.bytes_done,
                "bytes_total": progress.bytes_total,
                "bytes_per_s": round(speed),
            }
        )
