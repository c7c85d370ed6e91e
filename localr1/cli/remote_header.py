"""Owns asking a hub for the header of a GGUF: `user/repo[:QUANT]`, for a plan before download."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

from localr1.cli.output import Output
from localr1.errors import OfflineError
from localr1.hub.access import hub_access, is_offline_wanted
from localr1.hub.client import HubClient
from localr1.hub.gguf_files import choose, kept_header, offered, read_remote_header
from localr1.hub.names import RepositoryName
from localr1.hub.repository import read_repository
from localr1.settings import cache_dir
from quant.gguf.header import GgufHeader

_QUANT = re.compile(r"(?P<name>[^:]+/[^:]+):(?P<quant>[A-Za-z0-9_]{2,24})")


@dataclass(frozen=True, slots=True)
class RemoteHeader:
    """What a repository's GGUF says about itself, and where that is kept."""

    header: GgufHeader
    kept: Path
    """A file that ends where the weights would begin; of several parts the first."""


def split_quant(name: str) -> tuple[str, str | None]:
    """`user/repo:Q4_K_M` in two; a name without a colon as it is."""
    match = _QUANT.fullmatch(name)
    return (match["name"], match["quant"]) if match else (name, None)


def remote_header(
    output: Output, name: RepositoryName, quant: str | None, *, is_offline: bool
) -> RemoteHeader | None:
    """The header of a repository's GGUF; None if there is none and it holds a checkpoint instead.

    Raises: OfflineError, ModelNotFoundError, AccessRefusedError, NetworkError, DownloadError,
    GgufFileError.
    """
    if is_offline or is_offline_wanted(os.environ):
        raise OfflineError(
            f"there is no {name} on this disk, and asking for it needs the network",
            hint="leave --offline and HF_HUB_OFFLINE away, or give a file",
        )

    def sleep(seconds: float) -> None:
        output.narrate(f"the hub does not answer as it should; again in {seconds:.0f} s")
        time.sleep(seconds)

    client = HubClient(hub_access(os.environ))
    try:
        repository = read_repository(client, name, sleep)
        has_checkpoint = any(file.endswith(".safetensors") for file in repository.files)
        if has_checkpoint or not offered(repository):
            return None
        chosen = choose(repository, quant)
        output.narrate(f"reading the header of {chosen.names[0]}")
        header = read_remote_header(client, repository, chosen, cache_dir(), sleep)
        return RemoteHeader(header, kept_header(cache_dir(), repository, chosen.names[0]))
    finally:
        client.close()
