"""Owns how a file comes from the hub onto the disk: in one piece, verified, or not at all.

Bytes go to `.NAME.part`; `.NAME.etag` beside it says which state of the file they are of. An
interrupted download goes on where it was if the hub still has that state, else it starts anew.
The file gets its name when its size and hash are what the hub promised and it is on the disk.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from localr1.errors import DownloadError, LocalR1Error, NetworkError, NoRoomError, UsageError
from localr1.hub.client import Answer
from localr1.hub.remote_file import RemoteFile
from localr1.hub.retries import Patience
from quant.output.target import NO_ROOM

_READ_BYTES = 1024**2
_WORTH_BYTES = 64 * 1024  # less between two failures is no progress


def part_of(target: Path) -> Path:
    """Where a file lies while it is incomplete."""
    return target.with_name(f".{target.name}.part")


def size_of(path: Path) -> int:
    """Bytes of a file; 0 if there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


class Download:
    """One file on its way."""

    def __init__(
        self, file: RemoteFile, target: Path, *, on_bytes: Callable[[int], None] | None = None
    ) -> None:
        """`on_bytes` is told after every piece how many bytes there are; it may raise to stop."""
        self._file = file
        self._target = target
        self._part = part_of(target)
        self._etag = target.with_name(f".{target.name}.etag")
        self._on_bytes = on_bytes or (lambda _: None)

    def run(self, sleep: Callable[[float], None]) -> None:
        """Fetch the file.

        Raises: NetworkError when the network stays away; what came is kept. DownloadError if the
        bytes are wrong; they are removed. NoRoomError, UsageError if they cannot be written.
        """
        patience = Patience(sleep)
        was_wrong = False
        while True:
            n_before = size_of(self._part)
            try:
                with explained(self._target):
                    self._fetch()
                    if self._is_right():
                        self._keep()
                        return
            except NetworkError as exc:
                if size_of(self._part) >= n_before + _WORTH_BYTES:
                    patience.renew()
                patience.after(exc)
                continue
            self._discard()
            if was_wrong:
                raise DownloadError(
                    f"{self._file.title} came twice with another SHA-256 than the hub says",
                    hint="a proxy or the hub changes it on the way; nothing of it was used",
                )
            was_wrong = True

    def _fetch(self) -> None:
        """Bring the part up to its full size."""
        n_there, etag = self._resumable()
        if n_there and n_there == self._file.n_bytes:
            return
        with self._file.stream(n_there, if_range=etag) as answer, self._part.open("ab") as part:
            if answer.start not in {0, n_there}:
                raise DownloadError(f"{self._file.title} begins at byte {answer.start:,}, unasked")
            if answer.start == 0 or (etag and answer.etag != etag):
                # all of it comes, or a part of another state: what is there is of no use
                part.truncate(0)
                self._etag.unlink(missing_ok=True)
                if answer.start:
                    raise NetworkError(f"{self._file.title} changed at the hub", retry_after_s=0)
            if answer.etag:
                self._etag.write_text(answer.etag)
            self._copy(answer, part)

    def _resumable(self) -> tuple[int, str]:
        """Bytes that can be kept, and the ETag that they belong to.

        Without one the hash, where it is known, tells at the end whether the pieces fit.
        """
        try:
            etag = self._etag.read_text()
        except (FileNotFoundError, UnicodeDecodeError):
            etag = ""
        n_there = size_of(self._part)
        is_usable = bool(etag or self._file.sha256) and n_there <= (self._file.n_bytes or 0)
        return (n_there, etag) if is_usable else (0, "")

    def _copy(self, answer: Answer, part: BinaryIO) -> None:
        n_bytes, n_wanted = size_of(self._part), self._file.n_bytes
        if n_wanted is None:
            raise DownloadError(f"the hub does not say how long {self._file.title} is")
        for chunk in answer.chunks:
            n_bytes += len(chunk)
            if n_bytes > n_wanted:
                raise DownloadError(f"{self._file.title} is longer than the hub said")
            part.write(chunk)
            self._on_bytes(n_bytes)
        part.flush()
        if n_bytes < n_wanted:
            raise NetworkError(f"the connection ended in the middle of {self._file.title}")

    def _is_right(self) -> bool:
        if not self._file.sha256:
            return True
        digest = hashlib.sha256()
        with self._part.open("rb") as part:
            while content := part.read(_READ_BYTES):
                digest.update(content)
                self._on_bytes(size_of(self._part))
        return digest.hexdigest() == self._file.sha256

    def _keep(self) -> None:
        with self._part.open("rb") as part:
            os.fsync(part.fileno())
        self._part.replace(self._target)
        self._etag.unlink(missing_ok=True)

    def _discard(self) -> None:
        self._part.unlink(missing_ok=True)
        self._etag.unlink(missing_ok=True)


@contextlib.contextmanager
def explained(target: Path) -> Iterator[None]:
    """Turns the disk's failures into ours."""
    try:
        yield
    except LocalR1Error:  # some are OSErrors too
        raise
    except OSError as exc:
        if exc.errno in NO_ROOM:
            raise NoRoomError(
                f"the disk filled up while fetching {target}",
                hint="free some space and run it again, or set LOCALR1_HOME to another disk",
            ) from exc
        raise UsageError(f"cannot write {target}: {exc.strerror or exc}") from exc
