"""Owns what may be written where, and how it is told that something may not."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterable, Iterator
from pathlib import Path

from quant.errors import DiskFullError, OutputExistsError, OutputNotWritableError

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""What a full disk is told by."""


def require_free_target(path: Path, *, overwrite: bool) -> None:
    """Raises: OutputExistsError unless the target is free or a file that may be overwritten."""
    with explained(path):
        is_directory, is_file, exists = path.is_dir(), path.is_file(), path.exists()
    if is_directory:
        raise OutputExistsError(f"{path} is a directory", hint="name a file")
    if exists and not is_file:  # a device or a pipe: a rename would put a file in its place
        raise OutputNotWritableError(f"{path} is no regular file", hint="name a file")
    if exists and not overwrite:
        raise OutputExistsError(f"{path} exists", hint="overwrite it with --force")


def require_apart(path: Path, inputs: Iterable[Path]) -> None:
    """Raises: OutputExistsError if the target is one of the inputs, by whatever name."""
    with explained(path):
        for other in inputs:
            if path.exists() and other.exists() and path.samefile(other):
                raise OutputExistsError(f"{path} is what is read, and would be written over")


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turns the system's failures into ours. For our own calls only: others have their own."""
    try:
        yield
    except OSError as exc:
        if exc.errno in NO_ROOM:
            raise DiskFullError(f"the disk filled up while writing {path}") from exc
        raise OutputNotWritableError(f"cannot write {path}: {exc.strerror or exc}") from exc
