"""Owns how far an output has come, and who is writing it.

The journal lies beside the output as `.NAME.journal`. Its first line says which conversion it
belongs to and which process is at work; every further line is a mark: so many bytes are on the
disk. A mark is added after the bytes were flushed, so a mark that can be read is true. The file is
locked while it is open; the kernel lets go of the lock when the process dies, however it dies.
"""

from __future__ import annotations

import fcntl
import os
import re
from dataclasses import dataclass
from pathlib import Path

from quant.errors import OutputBusyError

_FIRST_LINE = re.compile(rb"localr1 convert 1 ([0-9a-f]{64}) (\d{10})\n")
_MARK = re.compile(rb"(\d{20}) (\d{20}) (\d{20})\n")
_MAX_BYTES = 16 * 1024**2


@dataclass(frozen=True, slots=True)
class Mark:
    """A point from which a conversion can go on."""

    n_slabs: int = 0
    n_written: int = 0
    """Bytes of the output, over all its files."""
    n_read: int = 0
    """Bytes of the source."""


class Journal:
    """The open, locked journal of one output."""

    def __init__(self, path: Path, fingerprint: str) -> None:
        """Lock the journal and read it.

        `fingerprint` is 64 hexadecimal digits that stand for source and settings: marks of
        another conversion do not count. Raises: OutputBusyError, OSError.
        """
        self._path = path
        self._descriptor = _locked(path)
        self._first_line = f"localr1 convert 1 {fingerprint} {os.getpid():010d}\n".encode()
        content = os.pread(self._descriptor, _MAX_BYTES, 0)
        self.mark, self._end = _last_mark(content, fingerprint)
        """The last one; zero if there is none of this conversion."""

    def begin(self, mark: Mark) -> None:
        """Take over at the mark that was read, or start anew at zero."""
        self.mark = mark
        if mark == Mark():
            # first, so that the marks of another conversion never follow our first line
            os.ftruncate(self._descriptor, 0)
            self._end = len(self._first_line)
        # one write of the same length: who dies here leaves the marks behind it as they were
        os.pwrite(self._descriptor, self._first_line, 0)
        os.ftruncate(self._descriptor, self._end)
        os.lseek(self._descriptor, 0, os.SEEK_END)
        os.fsync(self._descriptor)

    def add(self, mark: Mark) -> None:
        """Add a mark; what it says must be on the disk."""
        line = f"{mark.n_slabs:020d} {mark.n_written:020d} {mark.n_read:020d}\n"
        os.write(self._descriptor, line.encode())
        os.fsync(self._descriptor)
        self.mark = mark

    def remove(self) -> None:
        """Take the file away; the lock is held until `close`."""
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the lock."""
        os.close(self._descriptor)


def _locked(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_still_there(path, descriptor):
                return descriptor
        except BlockingIOError:
            raise OutputBusyError(_holder(path, descriptor)) from None
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is_still_there(path: Path, descriptor: int) -> bool:
    """Whether the path leads to the locked file: its last owner may have removed it meanwhile."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _holder(path: Path, descriptor: int) -> str:
    first_line = os.pread(descriptor, _MAX_BYTES, 0)
    os.close(descriptor)
    match = _FIRST_LINE.match(first_line)
    who = f"process {int(match[2])}" if match else "another process"
    return f"{who} is writing this output right now (it holds {path})"


def _last_mark(content: bytes, fingerprint: str) -> tuple[Mark, int]:
    """The last mark, and where in the journal it ends."""
    first_line = _FIRST_LINE.match(content)
    if first_line is None or first_line[1].decode() != fingerprint:
        return Mark(), 0
    mark, end = Mark(), first_line.end()
    # a line that was cut off ends the list
    while match := _MARK.match(content, end):
        mark, end = Mark(*map(int, match.groups())), match.end()
    return mark, end
