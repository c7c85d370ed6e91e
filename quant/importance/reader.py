"""Owns reading an importance matrix file, of either format, and not believing it.

The numbers stay in the file: it is mapped, and looked through once. A matrix for a big mixture of
experts takes a gigabyte.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from quant.errors import ImportanceFileError, SourceNotFoundError, SourceUnreadableError
from quant.gguf.types import MAGIC
from quant.importance.gguf_format import read_gguf
from quant.importance.legacy_format import read_legacy
from quant.importance.matrix import ImportanceMatrix, TensorImportance

_VALUES_AT_ONCE = 1 << 20


def read_importance(path: Path) -> ImportanceMatrix:
    """The importance matrix in the file at `path`.

    Raises: SourceNotFoundError if there is no file; ImportanceFileError or GgufFileError if it is
    no importance matrix, is damaged, or holds numbers that no sum of squares can be.
    """
    with _explained(path):
        if path.exists() and not path.is_file():  # opening a pipe would wait for a writer
            raise ImportanceFileError(f"{path} is not a regular file")
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            if file.tell() == 0:
                raise ImportanceFileError(f"{path} is empty")
            view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    read = read_gguf if view[:4] == MAGIC else read_legacy
    matrix = read(path, view, digest)
    for name, entry in matrix.entries.items():
        _require_possible(path, name, entry)
    return matrix


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as exc:
        raise SourceNotFoundError(
            f"there is no importance matrix {path}", hint=ImportanceFileError.advice
        ) from exc
    except (OSError, ValueError) as exc:  # the second for a name with a zero in it
        reason = getattr(exc, "strerror", None) or exc
        raise ImportanceFileError(
            f"cannot read {path}: {reason}", hint=SourceUnreadableError.advice
        ) from exc


def _require_possible(path: Path, name: str, entry: TensorImportance) -> None:
    if entry.sums.size % entry.counts.size:
        raise ImportanceFileError(
            f"{path}: {entry.sums.size} sums for {name} do not share {entry.counts.size} counts"
        )
    for start in range(0, entry.sums.size, _VALUES_AT_ONCE):
        values = entry.sums[start : start + _VALUES_AT_ONCE]
        if not np.isfinite(values).all() or values.min() < 0:
            raise ImportanceFileError(
                f"{path}: the sums for {name} hold NaN, infinity or less than 0"
            )
