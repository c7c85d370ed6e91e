"""Owns what a path means that a user typed, on a command line that no shell may have expanded."""

from __future__ import annotations

from pathlib import Path

from localr1.errors import UsageError
from quant.errors import SourceUnreadableError, unreadable


def typed_path(text: str) -> Path:
    """The path that was typed, `~` expanded; nothing need be there.

    Raises: UsageError for what can be no path, SourceUnreadableError for what leads where this user
    may not look.
    """
    if not text:
        raise UsageError("an empty name is no path", hint="give a file or a directory")
    try:
        path = Path(text).expanduser()
        path.exists()  # is false where nothing is, and fails where nothing can be
    except RuntimeError as exc:
        raise UsageError(
            f"{text} begins with a user that this machine does not have",
            hint="put ./ before a name that begins with ~",
        ) from exc
    except PermissionError as exc:
        raise unreadable(path, exc) from exc
    except OSError as exc:
        raise UsageError(
            f"cannot look at {text}: {exc.strerror}", hint="give a file or a directory"
        ) from exc
    return path


def output_path(target: str | None, default_name: str) -> Path:
    """The file to write: `target`, or the default name in it, or in the current directory.

    A target that ends in a slash is a directory even if it is not there yet. Raises: UsageError.
    """
    if target is None:
        return Path(default_name)
    try:
        path = typed_path(target)
    except SourceUnreadableError as exc:
        raise UsageError(exc.message, hint="write elsewhere with -o") from exc
    return path / default_name if target.endswith("/") or path.is_dir() else path
