"""Owns what an importance matrix says about the tensors of a model.

It was measured over a text: for each column of a weight, the sum of squares of the numbers that it
was multiplied with, and how many there were. The mean is what a quantiser weighs its errors with.
Source: tools/quantize/quantize.cpp, load_imatrix, and src/llama-quant.cpp of llama-cpp-python
0.3.36.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from quant.dtypes import Float32Array
from quant.errors import ImportanceFileError
from quant.gguf.key_values import KeyValues

_MAX_TEXT_BYTES = 127  # llama_model_kv_override.val_str in include/llama.h, less its end
_EMBEDDINGS = ("token_embd.weight", "per_layer_token_embd.weight")


@dataclass(frozen=True, slots=True, eq=False)
class TensorImportance:
    """What was measured at one tensor."""

    sums: Float32Array
    """Of squares, one for each column, matrix after matrix; mapped from the file."""
    counts: Float32Array
    """How many squares were added up: one number for all sums, or one for each matrix."""

    def row(self, matrix: int, n_cols: int) -> Float32Array:
        """The mean square at each column of a matrix; ones where nothing was measured.

        Experts that the text never reached have no measurement. Shape: (n_cols,).
        """
        columns = slice(matrix * n_cols, (matrix + 1) * n_cols)
        sums_per_count = self.sums.size // self.counts.size
        counts = self.counts[np.arange(columns.start, columns.stop) // sums_per_count]
        ones = np.ones(n_cols, dtype=np.float32)
        return np.divide(self.sums[columns], counts, out=ones, where=counts > 0)


@dataclass(frozen=True, slots=True, eq=False)
class ImportanceMatrix:
    """An importance matrix file that was read and checked."""

    file_name: str
    """As the user gave it."""
    digest: str
    """SHA-256 of the file."""
    entries: Mapping[str, TensorImportance]
    dataset: str = ""
    """What it was measured on: the first text, if several went into it."""
    n_chunks: int = 0

    def of(self, name: str, shape: tuple[int, ...]) -> TensorImportance | None:
        """What was measured at a tensor of this name and shape (matrices, rows, columns).

        None if nothing was: llama.cpp, too, quantises such a tensor as if there were no matrix.
        Raises: ImportanceFileError if the measured tensor had another size.
        """
        entry = self.entries.get(name)
        n_wanted = math.prod(shape[:-2]) * shape[-1]
        if entry is None or entry.sums.size == n_wanted:
            return entry
        if name in _EMBEDDINGS:  # looked up, not multiplied with: sizes differ by nature
            return None
        raise ImportanceFileError(
            f"{self.file_name}: tensor {name} has {entry.sums.size} columns there, "
            f"and {n_wanted} in this model",
            hint="it was made for another model",
        )

    def add_to(self, key_values: KeyValues) -> None:
        """Say last in the metadata of the output what its quantiser was led by."""
        for key in [key for key in key_values.items if key.startswith("quantize.imatrix.")]:
            del key_values.items[key]  # of a source that was quantised before
        key_values.string("quantize.imatrix.file", _cut(self.file_name))
        key_values.string("quantize.imatrix.dataset", _cut(self.dataset))
        key_values.uint("quantize.imatrix.entries_count", len(self.entries))
        if self.n_chunks > 0:
            key_values.uint("quantize.imatrix.chunks_count", self.n_chunks)


def _cut(text: str) -> str:
    encoded = text.encode(errors="replace")
    return encoded[:_MAX_TEXT_BYTES].decode(errors="ignore")
