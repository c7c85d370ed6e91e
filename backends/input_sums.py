"""Owns sums of squares over what weights are multiplied with: the measuring of importance. Pure.

Squares are added in float32, row after row, because llama.cpp does: the sums then agree to the last
bit where the activations do. Source: tools/imatrix/imatrix.cpp, collect_imatrix, of
llama-cpp-python 0.3.36.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Float32Array: TypeAlias = npt.NDArray[np.float32]
Int32Array: TypeAlias = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class ColumnSums:
    """What went into one weight so far."""

    sums: Float32Array
    """Of squares. Shape: (matrices, columns)."""
    counts: list[int]
    """Rows that were added up: for each matrix of a stack of experts, else one number for all."""

    @property
    def is_finite(self) -> bool:
        """False once an infinite or undefined activation has come by."""
        return bool(np.isfinite(self.sums).all())


class InputSums:
    """Sums for every weight of a model, by the weight's name."""

    def __init__(self) -> None:
        self.weights: dict[str, ColumnSums] = {}

    def add(self, name: str, n_matrices: tuple[int, int], inputs: Float32Array) -> ColumnSums:
        """Add the inputs of a product with a weight, or with a stack of them.

        Shapes: `inputs` is (outer, inner, rows, columns) as ggml has it, reversed; the weight has
        `n_matrices` (outer, inner), which repeat where there are more inputs.
        """
        n_outer, n_inner = n_matrices
        weight = self._weight(name, n_outer * n_inner, inputs.shape[-1], n_counts=1)
        for outer, inner in np.ndindex(inputs.shape[:2]):
            matrix = (outer % n_outer) * n_inner + inner % n_inner
            _add_squares(weight.sums[matrix], inputs[outer, inner])
        n_rows = inputs.shape[0] * inputs.shape[1] * inputs.shape[2]
        weight.counts[0] += n_rows // (n_outer * n_inner)
        return weight

    def add_routed(
        self, name: str, n_experts: int, inputs: Float32Array, experts: Int32Array
    ) -> ColumnSums:
        """Add the inputs of a product in which each token goes to a few experts.

        Shapes: `experts`, their numbers, is (tokens, used); `inputs` is (tokens, 1 or used,
        columns).
        """
        weight = self._weight(name, n_experts, inputs.shape[-1], n_counts=n_experts)
        n_tokens, n_used = experts.shape
        # llama.cpp goes through all tokens for the first choice, then for the second ...
        choice, token = np.divmod(np.arange(n_tokens * n_used), n_tokens)
        chosen = experts.T.reshape(-1)
        for expert in np.unique(chosen):
            places = np.flatnonzero(chosen == expert)
            rows = inputs[token[places], choice[places] % inputs.shape[1]]
            _add_squares(weight.sums[expert], rows)
            weight.counts[expert] += len(places)
        return weight

    def _weight(self, name: str, n_matrices: int, n_cols: int, *, n_counts: int) -> ColumnSums:
        if name not in self.weights:
            sums = np.zeros((n_matrices, n_cols), dtype=np.float32)
            self.weights[name] = ColumnSums(sums, [0] * n_counts)
        return self.weights[name]


def _add_squares(sums: Float32Array, rows: Float32Array) -> None:
    """Add the square of every row to `sums`, one row after the other."""
    terms = np.empty((len(rows) + 1, sums.size), dtype=np.float32)
    terms[0] = sums
    with np.errstate(over="ignore", invalid="ignore"):  # `is_finite` tells
        np.multiply(rows, rows, out=terms[1:])
        # along the first axis numpy adds in order, not in pairs
        np.add.reduce(terms, axis=0, out=sums)
