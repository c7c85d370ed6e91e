"""Owns the source in a form that llama.cpp runs: a GGUF is one, of a checkpoint a copy is made.

The copy lies in a hidden directory beside the output, which is locked while it is needed. A process
that is killed leaves it, and the next conversion to the same output takes it away.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from quant.blueprint import Source
from quant.gguf.parts import PART_NAME
from quant.gguf.types import TensorType
from quant.output.files import short_name
from quant.output.target import explained
from quant.pipeline import ConvertProgress, convert
from quant.source.gguf import GgufModel


@contextlib.contextmanager
def source_as_gguf(
    source: Source, output: Path, reference: TensorType, on_progress: Callable[[str, float], None]
) -> Iterator[Path]:
    """The source as a GGUF, of `reference` if it has to be made, for as long as it is needed.

    Raises: QuantError.
    """
    if isinstance(source, GgufModel):
        yield source.header.path
        return
    directory = _directory_beside(output)

    def report(progress: ConvertProgress) -> None:
        on_progress("reading the source", progress.bytes_done / progress.bytes_total)

    with explained(directory):
        directory.mkdir(exist_ok=True)
        lock = os.open(directory, os.O_RDONLY | os.O_NOFOLLOW)
        fcntl.flock(lock, fcntl.LOCK_SH)
    try:
        yield convert(
            source.directory,
            directory / "source.gguf",
            file_type=reference.name,
            on_progress=report,
            overwrite=True,
            fresh=True,
            store=source.store,
        ).output
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        os.close(lock)


def remove_abandoned_copy(output: Path) -> None:
    """Remove what a killed process left beside an output, unless one is at work there."""
    directory = _directory_beside(output.expanduser().absolute())
    with contextlib.suppress(OSError):  # usually there is none, or another holds the lock
        lock = os.open(directory, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(directory, ignore_errors=True)
        finally:
            os.close(lock)


def _directory_beside(output: Path) -> Path:
    part = PART_NAME.fullmatch(output.stem)  # all parts of an output have one copy
    name = part[1] if part else output.stem
    return output.with_name(f".{short_name(output.with_name(name))}.source")
