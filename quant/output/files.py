"""Owns how the output appears: whole, under its name, or not at all.

The bytes go to `.NAME.1.part` beside the target (and `.2.part`, ... when the output is split), are
flushed to the disk, and only then take their names. A journal says how much is safe, so that a
conversion which was interrupted, killed or out of space goes on where it stopped. What cannot go
on is removed: nothing stays behind that is of no use.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from quant.errors import DiskFullError, OutputExistsError, OutputNotWritableError, QuantError
from quant.output.journal import Journal, Mark
from quant.output.target import explained, require_free_target

MARK_EVERY_BYTES = 256 * 1024**2
"""How much is written between two marks: what a kill can cost."""

_MAX_NAME_LENGTH = 50  # file systems allow 255 bytes; a character takes up to four


@dataclass(frozen=True, slots=True)
class OutputFile:
    """One file of the output."""

    path: Path
    header: bytes
    """What it begins with."""
    n_bytes: int
    """Of the whole file, header included."""


def journal_path(target: Path) -> Path:
    """Where the journal of an output lies while there is something to go on with."""
    return target.with_name(f".{short_name(target)}.journal")


@contextlib.contextmanager
def output_files(
    target: Path,
    files: Sequence[OutputFile],
    fingerprint: str,
    *,
    overwrite: bool = False,
    fresh: bool = False,
) -> Iterator[OutputWriter]:
    """A writer of `files` in order; they take their names when the block ends without an error.

    `target` is the name that the user gave. `fingerprint` stands for the source and all settings;
    what an earlier run with the same one left is kept unless `fresh`, see `OutputWriter.kept`.
    Raises: OutputBusyError, OutputExistsError, DiskFullError, OutputNotWritableError.
    """
    with _directory(target):
        with explained(target):
            journal = Journal(journal_path(target), fingerprint)
        writer = OutputWriter(target, files, journal)
        try:
            writer.begin(overwrite=overwrite, fresh=fresh)
            yield writer
            writer.finish()
        except BaseException as exc:
            about_disk = isinstance(exc, DiskFullError | OutputNotWritableError | OutputExistsError)
            is_final = isinstance(exc, QuantError) and not about_disk
            writer.stop(may_keep=not is_final)
            raise
        finally:
            journal.close()


@contextlib.contextmanager
def _directory(target: Path) -> Iterator[None]:
    """The target is in a directory while the block runs; what was made goes if it stays empty."""
    with explained(target):
        made = [parent for parent in target.parents if not parent.exists()]
        target.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # it holds the output, or what the next run goes on with
            for directory in made:
                directory.rmdir()


class OutputWriter:
    """Writes the files of an output one after the other, and marks what is safe."""

    def __init__(self, target: Path, files: Sequence[OutputFile], journal: Journal) -> None:
        self.kept = Mark()
        """How far an earlier run came: what precedes it is on the disk and is not asked for."""
        self.n_written = 0
        self._target = target
        self._files = files
        self._journal = journal
        self._number = -1
        self._descriptor = -1
        self._file_end = 0
        self._reached = (0, 0)  # slabs written, bytes of the source read
        self._flusher = ThreadPoolExecutor(1, thread_name_prefix="flush")
        self._flush: Future[None] | None = None

    @property
    def offset(self) -> int:
        """Bytes in the current file."""
        return self._files[self._number].n_bytes - (self._file_end - self.n_written)

    def begin(self, *, overwrite: bool, fresh: bool) -> None:
        """Look at what is there, make room, open the first file that is not complete."""
        with explained(self._target):
            mark = Mark() if fresh else self._usable_mark()
            is_complete = mark.n_written == sum(file.n_bytes for file in self._files)
            for file in self._files:
                # a complete output may have got some of its names before it was interrupted
                require_free_target(file.path, overwrite=overwrite or is_complete)
            if mark == Mark():
                self._remove_parts()
            self.kept = mark
            self._require_space()
            self._journal.begin(mark)
            while self._file_end < mark.n_written:
                self._number += 1
                self._file_end += self._files[self._number].n_bytes
            self.n_written = mark.n_written
            self._reached = (mark.n_slabs, mark.n_read)
            if self._number >= 0 and self._part(self._number).exists():
                self._open(os.O_WRONLY)
                os.ftruncate(self._descriptor, self.offset)
                os.lseek(self._descriptor, 0, os.SEEK_END)

    def write(self, data: memoryview | bytes) -> None:
        """Write every byte. Raises: DiskFullError, OutputNotWritableError."""
        with explained(self._target):
            if self.n_written == self._file_end and data:
                self._next_file()
            self._write_all(data)

    def mark(self, n_slabs: int, n_read: int) -> None:
        """Say that the conversion could go on here; every so often it is made sure of."""
        self._reached = (n_slabs, n_read)
        with explained(self._target):
            if self._flush is not None and self._flush.done():
                self._await_flush()
            last = self._journal.mark.n_written
            if self._flush is None and self.n_written - last >= MARK_EVERY_BYTES:
                # beside the work: a disk takes its time to confirm
                self._flush = self._flusher.submit(self._make_sure, self._mark_here())

    def settle(self) -> None:
        """Make sure now of all that is marked, so that it need never be written again."""
        with explained(self._target):
            self._await_flush()
            self._make_sure(self._mark_here())

    def finish(self) -> None:
        """Flush the last file, and give every file its name."""
        with explained(self._target):
            self._close_file()
            self._journal.add(self._mark_here())
            # the first one last: it is the one that gets opened
            for number in reversed(range(len(self._files))):
                if self._part(number).exists():
                    self._part(number).replace(self._files[number].path)
            _sync_directory(self._target.parent)
            self._journal.remove()
            self._flusher.shutdown()

    def stop(self, *, may_keep: bool) -> None:
        """Close everything after a failure, and remove what no later run can use."""
        self._flusher.shutdown()  # waits for the mark that is being made
        if self._descriptor >= 0:
            os.close(self._descriptor)
        if not may_keep or self._journal.mark == Mark():
            with contextlib.suppress(OSError):  # the failure itself is what must be told
                self._remove_parts()
                self._journal.remove()

    def _part(self, number: int) -> Path:
        return self._target.with_name(f".{short_name(self._target)}.{number + 1}.part")

    def _usable_mark(self) -> Mark:
        """The journal's last mark, if the files bear it out."""
        mark, start = self._journal.mark, 0
        n_total = sum(file.n_bytes for file in self._files)
        for number, file in enumerate(self._files):
            n_wanted = min(file.n_bytes, max(mark.n_written - start, 0))
            has_name = mark.n_written == n_total and _size(file.path) == file.n_bytes
            if n_wanted and _size(self._part(number)) < n_wanted and not has_name:
                return Mark()
            start += file.n_bytes
        return mark

    def _remove_parts(self) -> None:
        part = re.compile(rf"\.{re.escape(short_name(self._target))}\.\d+\.part")
        for path in list(self._target.parent.iterdir()):
            if part.fullmatch(path.name):
                path.unlink(missing_ok=True)

    def _require_space(self) -> None:
        # a part may reach beyond the last mark: that room is ours already
        n_there = sum(max(_size(self._part(number)), 0) for number in range(len(self._files)))
        n_bytes = sum(file.n_bytes for file in self._files) - max(n_there, self.kept.n_written)
        n_free = shutil.disk_usage(self._target.parent).free
        if n_free < n_bytes:
            raise DiskFullError(
                f"{self._target} needs {n_bytes:,} bytes, the disk has {n_free:,} left",
                hint="free some space, or write to another disk with -o",
            )

    def _next_file(self) -> None:
        self._close_file()
        self._number += 1
        self._file_end += self._files[self._number].n_bytes
        self._open(os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        self._write_all(self._files[self._number].header)

    def _open(self, flags: int) -> None:
        self._descriptor = os.open(self._part(self._number), flags | os.O_NOFOLLOW, 0o666)

    def _write_all(self, data: memoryview | bytes) -> None:
        rest = memoryview(data)
        while rest:
            # takes fewer bytes than it was given when the disk is about to be full
            n_bytes = os.write(self._descriptor, rest)
            self.n_written += n_bytes
            rest = rest[n_bytes:]

    def _close_file(self) -> None:
        self._await_flush()
        if self._descriptor >= 0:
            os.fsync(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def _mark_here(self) -> Mark:
        n_slabs, n_read = self._reached
        return Mark(n_slabs, self.n_written, n_read)

    def _make_sure(self, mark: Mark) -> None:
        os.fsync(self._descriptor)  # stays open: closing it waits for us
        _sync_directory(self._target.parent)
        self._journal.add(mark)

    def _await_flush(self) -> None:
        if self._flush is not None:
            self._flush.result()
            self._flush = None


def short_name(target: Path) -> str:
    """A target's name, cut so that what lies beside it may be named after it."""
    if len(target.name) <= _MAX_NAME_LENGTH:
        return target.name
    digest = hashlib.sha256(target.name.encode(errors="surrogateescape")).hexdigest()[:12]
    return f"{target.name[: _MAX_NAME_LENGTH - 13]}-{digest}"


def _size(path: Path) -> int:
    """Bytes of a file; -1 if there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
