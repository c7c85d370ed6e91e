"""Owns the GGUF files that a repository offers: which there are, and what their headers say.

A header is a few megabytes at the start of a file of many gigabytes; that is all a plan needs. It
is kept in the cache, under the commit it belongs to.
"""

from __future__ import annotations

import contextlib
import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from localr1.errors import DownloadError, ModelNotFoundError
from localr1.hub.client import HubClient
from localr1.hub.download import explained
from localr1.hub.remote_file import RemoteFile
from localr1.hub.repository import Repository
from quant.errors import GgufFileError, HeaderCutOffError
from quant.gguf.header import GgufHeader, header_of_bytes
from quant.gguf.parser import MAX_HEADER_BYTES
from quant.gguf.parts import PART_NAME, joined

_LABEL = re.compile(
    r"(?:^|[-._/])((?:I?Q\d\w*|TQ\d_\d|BF16|F16|F32|FP16|MXFP4\w*))(?=[-./]|$)", re.IGNORECASE
)
_FIRST_READ_BYTES = 4 * 1024**2
_PREFERRED = ("Q4_K_M", "Q4_K_S", "MXFP4_MOE", "MXFP4", "Q4_0", "Q5_K_M", "Q8_0")


@dataclass(frozen=True, slots=True)
class GgufChoice:
    """A model in one quantisation, in one file or several."""

    label: str
    """As its name has it: `Q4_K_M`; empty if it says none."""
    names: tuple[str, ...]
    """Its files, first part first."""


def offered(repository: Repository) -> tuple[GgufChoice, ...]:
    """The models among the files, by name; projectors of images are none."""
    parts: dict[str, list[str]] = defaultdict(list)
    for name in sorted(repository.files):
        if name.endswith(".gguf") and "mmproj" not in name.rpartition("/")[2].lower():
            stem = name.removesuffix(".gguf")
            part = PART_NAME.fullmatch(stem)
            parts[part[1] if part else stem].append(name)
    return tuple(GgufChoice(_label(stem), tuple(names)) for stem, names in parts.items())


def choose(repository: Repository, wanted: str | None) -> GgufChoice:
    """The model of the label that is wanted, or of the one most people take.

    Raises: ModelNotFoundError listing what there is.
    """
    choices = offered(repository)
    by_label = {choice.label: choice for choice in reversed(choices)}
    for label in (wanted.upper(),) if wanted else _PREFERRED:
        if label in by_label:
            return by_label[label]
    if wanted is None and len(choices) == 1:
        return choices[0]
    known = ", ".join(sorted(filter(None, by_label))) or "no quantisation by name"
    raise ModelNotFoundError(
        f"{repository.name} has no {wanted or 'usual 4-bit type'}; it has {known[:400]}",
        hint=f"name one: {repository.name}:{next(filter(None, by_label), 'Q8_0')}",
    )


def read_remote_header(
    client: HubClient,
    repository: Repository,
    choice: GgufChoice,
    cache: Path,
    sleep: Callable[[float], None],
) -> GgufHeader:
    """What the files say about themselves, without fetching their weights.

    Raises: NetworkError, DownloadError, GgufFileError.
    """
    headers = []
    for name in choice.names:
        file = RemoteFile(client, repository, name, sleep)
        headers.append(_header(file, kept_header(cache, repository, name)))
    return joined(headers)


def kept_header(cache: Path, repository: Repository, name: str) -> Path:
    """Where the header of a file is kept once it was read: all that stands before its weights."""
    directory = cache / "headers" / repository.name.user / repository.name.repo / repository.commit
    return directory / name.replace("/", "--")


def _header(file: RemoteFile, kept: Path) -> GgufHeader:
    # what is kept may be damaged or unreadable: then it is asked for again
    with contextlib.suppress(OSError, GgufFileError):
        if file.n_bytes is not None:
            return header_of_bytes(kept.read_bytes(), Path(file.title), file.n_bytes)
    data = b""
    while True:
        if file.n_bytes is not None and data:
            try:
                header = header_of_bytes(data, Path(file.title), file.n_bytes)
            except HeaderCutOffError:
                if len(data) >= min(MAX_HEADER_BYTES, file.n_bytes):
                    raise
            else:
                _keep(kept, data[: header.data_offset])
                return header
        more = file.read(len(data), max(len(data), _FIRST_READ_BYTES))
        if not more:
            raise DownloadError(f"{file.title} is empty")
        data += more


def _keep(kept: Path, data: bytes) -> None:
    with explained(kept):
        kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = kept.with_name(kept.name + ".part")
        part.write_bytes(data)
        part.replace(kept)


def _label(stem: str) -> str:
    found = _LABEL.findall(stem)
    return found[-1].upper() if found else ""
