"""Owns where `convert` gets a checkpoint from: a path, or a repository on a hub.

A repository is asked for here, after the user's word on the network was heard; what comes is
narrated, and shown as a bar while the conversion has to wait for it.
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
from localr1.cli.progress import ProgressTeller
from localr1.errors import CancelledError, OfflineError, UsageError
from localr1.events import Progress
from localr1.paths import typed_path
from localr1.settings import cache_dir

if TYPE_CHECKING:
    from localr1.hub.names import RepositoryName
    from localr1.hub.shards import FetchProgress, HubShards
    from quant.source.shard_store import ShardStore


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
    source: str, output: Output, teller: ProgressTeller, *, is_offline: bool, delete_shards: bool
) -> Iterator[CheckpointSource]:
    """What `source` means, ready to be read while the block runs.

    Raises: UsageError, OfflineError, and what `localr1.hub.checkpoint.hub_checkpoint` does.
    """
    from localr1.hub.names import repository_meant
    from quant.source.shard_store import ON_DISK

    path = typed_path(source)
    name = repository_meant(source)
    if name is not None:
        fetching = _Fetching(output, teller)
        with _hub_source(
            name, output, fetching, is_offline=is_offline, delete_shards=delete_shards
        ) as found:
            yield found
        return
    if delete_shards:
        raise UsageError(
            "--delete-shards is for repositories", hint=f"{source} is yours: delete it yourself"
        )
    yield CheckpointSource(path, ON_DISK)


@contextlib.contextmanager
def _hub_source(
    name: RepositoryName,
    output: Output,
    fetching: _Fetching,
    *,
    is_offline: bool,
    delete_shards: bool,
) -> Iterator[CheckpointSource]:
    from localr1.hub.access import hub_access, is_offline_wanted

    if is_offline or is_offline_wanted(os.environ):
        raise OfflineError(
            f"there is no {name} on this disk, and fetching it needs the network",
            hint="leave --offline and HF_HUB_OFFLINE away, or give a directory",
        )
    from localr1.hub.checkpoint import hub_checkpoint

    access = hub_access(os.environ)
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
        for state in found.removed:
            output.narrate(f"removed {state}, an older state of {name}")
        try:
            yield CheckpointSource(found.directory, found.shards, fetching)
        except (KeyboardInterrupt, CancelledError):
            if found.shards.progress.bytes_done:
                output.narrate("what was fetched was kept")
            raise
        if found.shards.progress.bytes_done and not delete_shards:
            output.narrate(f"the checkpoint stays in {found.directory}")


class _Fetching:
    """What is told about shards on their way."""

    def __init__(self, output: Output, teller: ProgressTeller) -> None:
        self.shards: HubShards | None = None
        self._output = output
        self._teller = teller

    def sleep(self, seconds: float) -> None:
        """Before another attempt to get the first answers."""
        self._output.narrate(f"the hub does not answer as it should; again in {seconds:.0f} s")
        time.sleep(seconds)

    def waiting(self, progress: FetchProgress) -> None:
        """The conversion has nothing to do but wait."""
        self._teller.show(_event(progress))

    def beside(self) -> str:
        """The conversion is at work, and so perhaps is the network."""
        if self.shards is None:
            return ""
        event = self._teller.tell(_event(self.shards.progress))
        return f", {event.done / event.total:.0%} fetched" if event.done < event.total else ""


def _event(progress: FetchProgress) -> Progress:
    return Progress(
        stage="fetch", done=progress.bytes_done, total=progress.bytes_total, unit="bytes"
    )
