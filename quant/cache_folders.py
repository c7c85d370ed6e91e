"""Owns folders in a cache of which newer ones take the place: who uses one, and which may go.

A folder is locked while it is used, so that no other process takes it away; the lock dies with its
process. The date of a folder says when it was last used.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterable
from pathlib import Path


def hold_folder(folder: Path, *, is_shared: bool) -> int:
    """Make, lock and date a folder; the lock is held until the returned descriptor is closed.

    Raises: BlockingIOError if another process does not share it, OSError.
    """
    lock = fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX | fcntl.LOCK_NB
    while True:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, lock)
            if _leads_to(folder, descriptor):
                os.utime(descriptor)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def remove_old_folders(folders: Iterable[Path], n_kept: int) -> list[Path]:
    """Remove all but those that were used last, and those that are in use; returns which went."""
    newest_first = sorted(folders, key=_last_use, reverse=True)
    return [folder for folder in newest_first[n_kept:] if _is_removed(folder)]


def _is_removed(folder: Path) -> bool:
    with contextlib.suppress(OSError):  # it is in use, or gone already
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)
        finally:
            os.close(descriptor)
        return True
    return False


def _last_use(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except OSError:  # another process removed it just now
        return 0


def _leads_to(path: Path, descriptor: int) -> bool:
    """Whether the path leads to what was locked: it may have been removed meanwhile."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
