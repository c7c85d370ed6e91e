"""Owns the source in a form that llama.cpp runs: a GGUF is one, of a checkpoint a copy is made.

The copy lies in a hidden directory beside the output, which is locked while it is needed. A process
that is killed leaves it; the next conversion or verification in the same place takes it away.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from localr1.events import Progress
from quant.blueprint import Source
from quant.gguf.parts import PART_NAME
from quant.gguf.types import TensorType
from quant.output.files import short_name
from quant.output.target import explained
from quant.pipeline import ConvertProgress, convert
from quant.source.gguf import GgufModel

_COPY = re.compile(r"\..+\.source")
_FILE_OF_COPY = re.compile(r"source\.gguf|\.source\.gguf\.(\d+\.part|journal)")


@contextlib.contextmanager
def source_as_gguf(
    source: Source, output: Path, reference: TensorType, on_progress: Callable[[Progress], None]
) -> Iterator[Path]:
    """The source as a GGUF, of `reference` if it has to be made, for as long as it is needed.

    Raises: QuantError.
    """
    if isinstance(source, GgufModel):
        yield source.header.path
        return
    directory = _directory_beside(output)

    def report(progress: ConvertProgress) -> None:
        on_progress(
            Progress(
                stage="source",
                done=progress.bytes_done,
                total=progress.bytes_total,
                unit="bytes",
            )
        )

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


def remove_abandoned_copies(directory: Path) -> None:
    """Remove what killed processes left in a directory, unless one is at work there."""
    with contextlib.suppress(OSError):  # the directory may not be there yet
        for entry in list(directory.iterdir()):
            if _COPY.fullmatch(entry.name):
                _remove_abandoned(entry)


def _remove_abandoned(copy: Path) -> None:
    with contextlib.suppress(OSError):  # another holds the lock, or there is more than is ours
        lock = os.open(copy, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for file in list(copy.iterdir()):
                if _FILE_OF_COPY.fullmatch(file.name):
                    file.unlink()
            copy.rmdir()
        finally:
            os.close(lock)


def _directory_beside(output: Path) -> Path:
    part = PART_NAME.fullmatch(output.stem)  # all parts of an output have one copy
    name = part[1] if part else output.stem
    return output.with_name(f".{short_name(output.with_name(name))}.source")
