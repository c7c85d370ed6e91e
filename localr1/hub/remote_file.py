"""Owns a file in a repository that is read in parts, without being fetched.

A header at its start says what a file of weights holds; that is all a plan or a check needs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from localr1.errors import DownloadError, NetworkError
from localr1.hub.client import Answer, HubClient
from localr1.hub.repository import Repository
from localr1.hub.retries import patiently


class RemoteFile:
    """Bytes of a file, by offset. Can be used from several threads."""

    def __init__(
        self, client: HubClient, repository: Repository, name: str, sleep: Callable[[float], None]
    ) -> None:
        listed = repository.files[name]
        self.title = f"{repository.name}/{name}"
        """For people."""
        self.n_bytes: int | None = listed.n_bytes
        """Of the whole file; None as long as neither listing nor an answer said it."""
        self.sha256 = listed.sha256
        """Of the whole file; empty as long as it is not known."""
        self._client = client
        self._path = repository.path_of(name)
        self._sleep = sleep

    def read(self, offset: int, n_bytes: int) -> bytes:
        """`n_bytes` from `offset`; fewer where the file ends.

        Raises: NetworkError when the network stays away, DownloadError if the hub lies or cannot
        send parts.
        """
        if self.n_bytes is not None:
            n_bytes = min(n_bytes, self.n_bytes - offset)
        if n_bytes <= 0:
            return b""
        return patiently(lambda: self._read_once(offset, n_bytes), self._sleep)

    @contextlib.contextmanager
    def stream(self, offset: int, *, if_range: str = "") -> Iterator[Answer]:
        """The answer that brings everything from `offset`, its promises checked against the known.

        It may bring all of the file instead, see `Answer.start`. One attempt.
        """
        with self._client.get(
            self._path, what=self.title, first=offset or None, if_range=if_range
        ) as answer:
            self._learn(answer)
            yield answer

    def _read_once(self, offset: int, n_bytes: int) -> bytes:
        with self._client.get(
            self._path, what=self.title, first=offset, last=offset + n_bytes - 1
        ) as answer:
            self._learn(answer)
            if answer.start != offset:
                raise DownloadError(f"{self._client.access.host} sends no parts of {self.title}")
            if self.n_bytes is not None:
                n_bytes = min(n_bytes, self.n_bytes - offset)
            content = bytearray()
            for chunk in answer.chunks:
                content += chunk
                if len(content) >= n_bytes:
                    break  # all of a file may come where a part was asked for
            if len(content) < n_bytes:
                raise NetworkError(f"the connection ended in the middle of {self.title}")
            return bytes(content[:n_bytes])

    def _learn(self, answer: Answer) -> None:
        for known, told in ((self.n_bytes, answer.n_total), (self.sha256, answer.sha256)):
            if known and told and known != told:
                raise DownloadError(
                    f"{self.title} is not what the hub lists: {told} instead of {known}"
                )
        if answer.n_total is not None:
            self.n_bytes = answer.n_total
        self.sha256 = self.sha256 or answer.sha256


class HeadReader:
    """Reads a remote file from its start, as the reader of a header does, in few requests."""

    def __init__(self, file: RemoteFile, *, n_at_once: int = 128 * 1024) -> None:
        self._file = file
        self._content = file.read(0, n_at_once)
        self._offset = 0

    def read(self, n_bytes: int) -> bytes:
        """The next `n_bytes`; fewer where the file ends."""
        end = self._offset + n_bytes
        if end > len(self._content):
            self._content += self._file.read(len(self._content), end - len(self._content))
        start, self._offset = self._offset, min(end, len(self._content))
        return self._content[start : self._offset]
