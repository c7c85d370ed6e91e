"""Owns an importance matrix on its way into a file: llama.cpp's GGUF format, byte for byte.

The sums may be a gigabyte and come in pieces, so they pass through; what surrounds them is known
before. Source: tools/imatrix/imatrix.cpp, save_imatrix, of llama-cpp-python 0.3.36.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from quant.gguf.key_values import KeyValues
from quant.gguf.types import TensorType
from quant.gguf.writer import TensorEntry, encode_header, file_bytes, padding
from quant.importance.gguf_format import CHUNK_COUNT, CHUNK_SIZE, COUNTS, DATASETS, SUMS
from quant.importance.measured import MeasuredTensor


@dataclass(frozen=True, slots=True)
class ImportanceFile:
    """An importance matrix file, complete but for the sums."""

    header: bytes
    n_bytes: int
    tensors: Sequence[MeasuredTensor]

    def body(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """What follows the header.

        `pieces` are the sums, float32 little endian, in order of `tensors`; no piece reaches from
        one tensor into the next.
        """
        arriving = iter(pieces)
        for tensor in self.tensors:
            n_missing = 4 * tensor.n_sums
            while n_missing:
                piece = next(arriving)
                n_missing -= len(piece)
                yield piece
            counts = np.array(tensor.counts, dtype="<f4").tobytes()
            yield bytes(padding(4 * tensor.n_sums)) + counts + bytes(padding(len(counts)))


def importance_file(
    tensors: Sequence[MeasuredTensor], *, dataset: str, chunk_size: int
) -> ImportanceFile:
    """The file for tensors in order of their names.

    They were measured on `dataset` in chunks of `chunk_size` tokens.
    """
    key_values = KeyValues()
    key_values.string("general.type", "imatrix")
    key_values.strings(DATASETS, [dataset])
    most = max(max(tensor.counts) for tensor in tensors)
    key_values.uint(CHUNK_COUNT, most // chunk_size)
    key_values.uint(CHUNK_SIZE, chunk_size)
    entries = [entry for tensor in tensors for entry in _entries(tensor)]
    header = encode_header(key_values, entries)
    return ImportanceFile(header, file_bytes(header, entries), tensors)


def _entries(tensor: MeasuredTensor) -> tuple[TensorEntry, TensorEntry]:
    n_counts = len(tensor.counts)
    n_cols = tensor.n_sums // n_counts
    # ggml leaves out dimensions of one at the end
    sums_shape = (n_counts, n_cols) if n_counts > 1 else (n_cols,)
    counts_shape = (n_counts, 1) if n_counts > 1 else (1,)
    return (
        TensorEntry(tensor.name + SUMS, sums_shape, TensorType.F32),
        TensorEntry(tensor.name + COUNTS, counts_shape, TensorType.F32),
    )
