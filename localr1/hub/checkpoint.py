"""Owns a hub's checkpoint as the converter opens it: a directory in the cache, and its shards.

Config, tokenizer, templates and model card are fetched first; they are small, and their sizes are
bounded. The directory is `cache/hub/HOST/USER/COMMIT/REPO`: a state of a repository never changes,
so nothing in it goes stale. It is locked while it is used, and goes when there are two newer ones.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from localr1.errors import DownloadError, ModelFileError, UsageError
from localr1.hub.access import HubAccess
from localr1.hub.client import HubClient
from localr1.hub.download import explained, part_of, size_of
from localr1.hub.names import RepositoryName
from localr1.hub.repository import Repository, read_all, read_repository
from localr1.hub.shards import FetchProgress, HubShards
from quant.cache_folders import hold_folder, remove_old_folders

_MIB = 1024**2
_MAX_BYTES = {
    "config.json": 4 * _MIB,
    "generation_config.json": 4 * _MIB,
    "tokenizer.json": 64 * _MIB,
    "tokenizer_config.json": 16 * _MIB,
    "tokenizer.model": 64 * _MIB,
    "added_tokens.json": 4 * _MIB,
    "special_tokens_map.json": 4 * _MIB,
    "chat_template.jinja": _MIB,
    "chat_template.json": 4 * _MIB,
    "README.md": _MIB,
    "model.safetensors.index.json": 32 * _MIB,
}
"""The files that a conversion reads besides the weights, and what each may take."""
_NAMED_TEMPLATE = re.compile(r"additional_chat_templates/[\w][\w.-]{0,100}\.jinja", re.ASCII)
_MAX_TEMPLATES = 32
_N_STATES_KEPT = 2
_SAFE_HOST = re.compile(r"[^A-Za-z0-9.-]")


@dataclass(frozen=True, slots=True)
class HubCheckpoint:
    """What the converter takes for a checkpoint."""

    directory: Path
    shards: HubShards
    commit: str
    removed: Sequence[Path] = ()
    """Older states of the repository that were taken out of the cache."""


@contextlib.contextmanager
def hub_checkpoint(
    name: RepositoryName,
    access: HubAccess,
    cache: Path,
    *,
    deletes: bool = False,
    on_wait: Callable[[FetchProgress], None] = lambda _: None,
    sleep: Callable[[float], None],
) -> Iterator[HubCheckpoint]:
    """The repository, ready to be converted, while the block runs.

    Raises: ModelNotFoundError, AccessRefusedError, NetworkError, DownloadError, ModelFileError if
    it holds no safetensors, UsageError if another process uses it.
    """
    client = HubClient(access)
    try:
        repository = read_repository(client, name, sleep)
        _require_safetensors(repository)
        host = _SAFE_HOST.sub("_", access.host)
        directory = cache / "hub" / host / name.user / repository.commit / name.repo
        with _locked(directory):
            removed = _without_older_states(directory)
            _fetch_small_files(client, repository, directory, sleep)
            shards = HubShards(client, repository, deletes=deletes, on_wait=on_wait)
            try:
                yield HubCheckpoint(directory, shards, repository.commit, removed)
            finally:
                shards.close()
    finally:
        client.close()


def _require_safetensors(repository: Repository) -> None:
    names = [name for name in repository.files if "/" not in name]
    if any(name.endswith(".safetensors") for name in names):
        return
    gguf = next((name for name in sorted(names) if name.endswith(".gguf")), None)
    if gguf is not None:
        raise ModelFileError(
            f"{repository.name} holds GGUF files such as {gguf[:80]}, which need no conversion",
            hint="fetch that one file, or give the repository of the checkpoint",
        )
    if any(name.endswith(".bin") for name in names):
        raise ModelFileError(
            f"{repository.name} has PyTorch files only, which cannot be checked before they are "
            "fetched",
            hint="fetch the repository, and convert the directory",
        )
    raise ModelFileError(
        f"{repository.name} has no safetensors", hint="give the repository of the checkpoint"
    )


def _fetch_small_files(
    client: HubClient, repository: Repository, directory: Path, sleep: Callable[[float], None]
) -> None:
    limits = _MAX_BYTES | dict.fromkeys(
        [name for name in sorted(repository.files) if _NAMED_TEMPLATE.fullmatch(name)][
            :_MAX_TEMPLATES
        ],
        _MIB,
    )
    for name, max_bytes in limits.items():
        file = repository.files.get(name)
        target = directory / name
        if file is None or (file.n_bytes is not None and size_of(target) == file.n_bytes):
            continue
        title = f"{repository.name}/{name}"
        content = read_all(
            client, repository.path_of(name), what=title, max_bytes=max_bytes, sleep=sleep
        )
        if file.n_bytes not in {None, len(content)}:
            raise DownloadError(
                f"{title} has {len(content):,} bytes, the hub lists {file.n_bytes:,}"
            )
        if file.sha256 and hashlib.sha256(content).hexdigest() != file.sha256:
            raise DownloadError(f"{title} came with another SHA-256 than the hub says")
        with explained(target):
            target.parent.mkdir(mode=0o700, exist_ok=True)
            part_of(target).write_bytes(content)
            part_of(target).replace(target)


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    with explained(directory):
        try:
            descriptor = hold_folder(directory, is_shared=False)
        except BlockingIOError:
            raise UsageError(
                f"another localr1 is fetching into {directory} right now", hint="wait until it ends"
            ) from None
    try:
        yield
    finally:
        os.close(descriptor)


def _without_older_states(directory: Path) -> list[Path]:
    """Remove states of the same repository that two newer ones have taken the place of."""
    states = directory.parent.parent.glob(f"*/{directory.name}")
    removed = remove_old_folders(states, _N_STATES_KEPT)
    for state in removed:
        with contextlib.suppress(OSError):  # another repository has a state of that name
            state.parent.rmdir()
    return removed
