"""Owns where localr1 keeps things: one place for every path outside the user's own files.

`LOCALR1_HOME` puts everything below one directory; otherwise each system's own places are used
(XDG on Linux, Library on macOS). Directories are made when needed, for their owner only.
"""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from localr1.errors import UsageError

_APP = "localr1"


def cache_dir() -> Path:
    """Files that can be made again: the converted demo model. Raises: UsageError."""
    home = os.environ.get("LOCALR1_HOME")
    path = Path(home) / "cache" if home else Path(platformdirs.user_cache_dir(_APP))
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise UsageError(
            f"cannot make the directory {path}: {exc.strerror}",
            hint="set LOCALR1_HOME to a directory that can be written",
        ) from exc
    return path
