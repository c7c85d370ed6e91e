"""Owns what a repository holds at one commit: names, sizes and hashes, as the hub lists them.

A branch moves; every later request names the commit that the first answer named.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from localr1.errors import DownloadError
from localr1.hub.client import HubClient
from localr1.hub.names import RepositoryName
from localr1.hub.retries import patiently
from quant.errors import CheckpointDamagedError
from quant.source.json_file import parse_json_object

_MAX_LISTING_BYTES = 8 * 1024**2
_MAX_FILES = 20_000
_N_RETRIES = 3  # who is not online learns so in seconds: nothing is lost yet
_COMMIT = re.compile(r"[0-9a-f]{40,64}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file as the hub lists it."""

    name: str
    n_bytes: int | None
    """None if the listing does not say."""
    sha256: str
    """Empty if the listing does not say: small files lie in git, which hashes otherwise."""


@dataclass(frozen=True, slots=True)
class Repository:
    """The files of a repository at one commit."""

    name: RepositoryName
    commit: str
    files: Mapping[str, HubFile]

    def path_of(self, file_name: str) -> str:
        """Where the hub serves a file, below its endpoint."""
        return f"/{self.name}/resolve/{self.commit}/{quote(file_name)}"


def read_repository(
    client: HubClient, name: RepositoryName, sleep: Callable[[float], None]
) -> Repository:
    """Ask the hub what is in a repository.

    Raises: ModelNotFoundError, AccessRefusedError, NetworkError, DownloadError.
    """
    path = f"/api/models/{name}/revision/{name.quoted_revision}?blobs=true"
    content = read_all(
        client,
        path,
        what=str(name),
        max_bytes=_MAX_LISTING_BYTES,
        sleep=sleep,
        n_retries=_N_RETRIES,
    )
    try:
        listing = parse_json_object(content, f"what {client.access.host} says about {name}")
    except CheckpointDamagedError as exc:
        raise DownloadError(exc.message) from exc
    commit, siblings = listing.get("sha"), listing.get("siblings")
    if not isinstance(commit, str) or not _COMMIT.fullmatch(commit):
        raise DownloadError(f"{client.access.host} does not name the commit of {name}")
    if not isinstance(siblings, list) or len(siblings) > _MAX_FILES:
        raise DownloadError(f"{client.access.host} does not list the files of {name}")
    files = {file.name: file for file in map(_listed, siblings) if file is not None}
    return Repository(name, commit, files)


def read_all(
    client: HubClient,
    path: str,
    *,
    what: str,
    max_bytes: int,
    sleep: Callable[[float], None],
    n_retries: int | None = None,
) -> bytes:
    """A small file, whole. Raises: DownloadError if it is larger."""

    def attempt() -> bytes:
        content = bytearray()
        with client.get(path, what=what) as answer:
            for chunk in answer.chunks:
                content += chunk
                if len(content) > max_bytes:
                    raise DownloadError(f"{what} is larger than {max_bytes:,} bytes")
        return bytes(content)

    return patiently(attempt, sleep, n_retries=n_retries)


def _listed(entry: Any) -> HubFile | None:
    """A line of the listing; None if it is unusable. Names are checked by who makes paths."""
    if not isinstance(entry, dict) or not isinstance(entry.get("rfilename"), str):
        return None
    lfs = entry.get("lfs")
    sha256 = lfs.get("sha256") if isinstance(lfs, dict) else ""
    n_bytes = entry.get("size")
    return HubFile(
        entry["rfilename"],
        n_bytes if type(n_bytes) is int and 0 <= n_bytes < 2**63 else None,
        sha256 if isinstance(sha256, str) and _SHA256.fullmatch(sha256) else "",
    )
