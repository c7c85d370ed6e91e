"""Owns what a model name on the command line means: a path to a GGUF, or `demo`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from localr1.errors import ModelNotFoundError, UsageError
from localr1.paths import typed_path

DEMO = "demo"


def resolve(name: str, *, on_progress: Callable[[float, float], None] | None = None) -> Path:
    """The GGUF file that `name` stands for; converts the embedded model when it is first asked for.

    Raises: ModelNotFoundError if nothing is there; UsageError for what can be no path, and for a
    checkpoint directory, which has to be converted first.
    """
    if name == DEMO:
        from localr1.demo.prepare import demo_gguf

        return demo_gguf(on_progress)
    path = typed_path(name)
    if path.is_dir():
        raise UsageError(
            f"{path} is a directory, a GGUF file is needed",
            hint=f"convert the checkpoint first: localr1 convert {path}",
        )
    if not path.exists():
        raise _not_found(name)
    return path


def _not_found(name: str) -> ModelNotFoundError:
    from localr1.catalogue.entry import find_entry, is_name

    if not is_name(name):
        return ModelNotFoundError(
            f"there is no model {name}", hint="give the path of a GGUF file, or: demo"
        )
    entry, _ = find_entry(name)
    return ModelNotFoundError(
        f"{name} is known, but is no file on this disk",
        hint=f"make one, then give its path: localr1 convert {entry.repository}",
    )
