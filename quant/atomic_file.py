"""Owns how the output appears: whole, under its name, or not at all.

The bytes go to a temporary file beside the target, are flushed to the disk, and only then take the
name. Any failure, Ctrl-C included, removes the temporary file. A killed process can leave a
`.NAME.xxxxxxxx.part`, never a half-written NAME.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from quant.errors import DiskFullError, OutputExistsError, OutputNotWritableError

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_MAX_NAME_LENGTH = 60  # file systems allow 255 bytes; a character takes up to four


def require_free_target(path: Path, *, overwrite: bool) -> None:
    """Raises: OutputExistsError unless the target is free or a file that may be overwritten."""
    with _explained(path):
        is_directory, exists = path.is_dir(), path.exists()
    if is_directory:
        raise OutputExistsError(f"{path} is a directory", hint="name a file")
    if exists and not overwrite:
        raise OutputExistsError(f"{path} exists", hint="overwrite it with --force")


class RawFile(Protocol):
    """What we need of an unbuffered file."""

    def write(self, data: memoryview, /) -> int | None:
        """Write some of the bytes and say how many."""


@dataclass(frozen=True, slots=True)
class OutputFile:
    """The temporary file while it is written; its errors name the file it will become."""

    path: Path
    raw: RawFile

    def write(self, data: memoryview | bytes) -> None:
        """Write every byte. Raises: DiskFullError, OutputNotWritableError."""
        rest = memoryview(data)
        with _explained(self.path):
            while rest:
                # takes fewer bytes than it was given when the disk is about to be full
                rest = rest[self.raw.write(rest) :]


@contextlib.contextmanager
def atomic_file(path: Path, n_bytes: int) -> Iterator[OutputFile]:
    """A writable file that becomes `path` when the block ends without an exception.

    Raises: DiskFullError, before the first byte if the disk has less than `n_bytes` left.
    """
    temporary = _temporary_beside(path)
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _require_space(path, n_bytes)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with os.fdopen(descriptor, "wb", buffering=0) as raw:
            yield OutputFile(path, raw)
            with _explained(path):
                os.fsync(raw.fileno())
                raw.close()
        with _explained(path):
            temporary.replace(path)
            _sync_directory(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _temporary_beside(path: Path) -> Path:
    return path.with_name(f".{path.name[:_MAX_NAME_LENGTH]}.{secrets.token_hex(4)}.part")


def _require_space(path: Path, n_bytes: int) -> None:
    n_free = shutil.disk_usage(path.parent).free
    if n_free < n_bytes:
        raise DiskFullError(
            f"{path} needs {n_bytes:,} bytes, the disk has {n_free:,} left",
            hint="free some space, or write to another disk with -o",
        )


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Wraps our own calls only: a closed pipe in the caller's block is not about this file."""
    try:
        yield
    except OSError as exc:
        if exc.errno in _NO_ROOM:
            raise DiskFullError(
                f"the disk filled up while writing {path}; nothing was left behind",
                hint="free some space, or write to another disk with -o",
            ) from exc
        raise OutputNotWritableError(f"cannot write {path}: {exc.strerror or exc}") from exc


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
