"""Owns the format of importance matrices before GGUF: a list of names and numbers, little endian.

    n_entries i32, then for each: name length i32 | name | n_calls i32 | n_values i32 | values f32
    n_chunks i32 | length of the dataset's name i32 | its name        (all of this may be missing)

The values are means times n_calls. Source: common/imatrix-loader.cpp and tools/imatrix/imatrix.cpp
(save_imatrix_legacy) of llama-cpp-python 0.3.36.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

import numpy as np

from quant.dtypes import Float32Array
from quant.errors import ImportanceFileError
from quant.importance.matrix import ImportanceMatrix, TensorImportance

_MAX_ENTRIES = 65_536
_MAX_NAME_BYTES = 255
_MAX_DATASET_BYTES = 4096
_I32 = struct.Struct("<i")


def read_legacy(path: Path, view: mmap.mmap, digest: str) -> ImportanceMatrix:
    """The matrix in a file, which is mapped as `view`. Raises: ImportanceFileError."""
    reader = _Reader(path, view)
    entries: dict[str, TensorImportance] = {}
    for _ in range(reader.number(1, _MAX_ENTRIES, "entries")):
        name = reader.text(1, _MAX_NAME_BYTES, "a name")
        if name in entries:
            raise ImportanceFileError(f"{path}: {name} is twice there")
        n_calls = reader.number(-(2**31), 2**31 - 1, "calls")
        sums = reader.values(reader.number(1, 2**31 - 1, f"values for {name}"))
        # without calls the values count as they are
        entries[name] = TensorImportance(sums, np.array([max(n_calls, 1)], dtype=np.float32))
    n_chunks, dataset = 0, ""
    if not reader.is_at_end:
        n_chunks = reader.number(-(2**31), 2**31 - 1, "chunks")
    if not reader.is_at_end:
        dataset = reader.text(0, _MAX_DATASET_BYTES, "the name of the dataset")
    return ImportanceMatrix(str(path), digest, entries, dataset, n_chunks)


class _Reader:
    """A position in the file; every step is checked."""

    def __init__(self, path: Path, view: mmap.mmap) -> None:
        self._path = path
        self._view = view
        self._pos = 0

    @property
    def is_at_end(self) -> bool:
        return self._pos == len(self._view)

    def number(self, least: int, most: int, what: str) -> int:
        number: int = _I32.unpack_from(self._view, self._step(_I32.size))[0]
        if not least <= number <= most:
            raise ImportanceFileError(
                f"{self._path} is no importance matrix: it has {number} for the number of {what}"
            )
        return number

    def text(self, least: int, most: int, what: str) -> str:
        length = self.number(least, most, f"bytes of {what}")
        start = self._step(length)
        return self._view[start : start + length].decode(errors="replace")

    def values(self, count: int) -> Float32Array:
        return np.frombuffer(self._view, "<f4", count, self._step(4 * count))

    def _step(self, n_bytes: int) -> int:
        start = self._pos
        if start + n_bytes > len(self._view):
            raise ImportanceFileError(f"{self._path} is no importance matrix, or is cut off")
        self._pos += n_bytes
        return start
