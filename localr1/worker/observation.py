"""Owns measuring importance in the engine's child: texts in, sums of squares out.

A text is cut into chunks of equal length by the parent; here each one is evaluated from its
beginning, with BOS in the place of its first token where the model wants one. Source:
tools/imatrix/imatrix.cpp, compute_imatrix, of llama-cpp-python 0.3.36.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence

from backends.errors import LlamaRefusedError
from backends.native import NativeModel
from quant.importance.measured import MeasuredTensor

_PIECE_BYTES = 4 * 1024**2


class Observation:
    """What one model's weights were multiplied with."""

    def __init__(self, model: NativeModel) -> None:
        self._model = model

    def tokens(self, text: str) -> list[int]:
        """Token ids of a text as it stands, led by BOS if the model wants one."""
        tokens = self._model.tokenize(text, parse_special=False)
        return [self._model.bos_id, *tokens] if self._model.adds_bos else tokens

    def observe(self, chunk: Sequence[int]) -> None:
        """Evaluate a chunk that fits the context. Raises: LlamaRefusedError."""
        if not 0 < len(chunk) <= self._model.n_ctx:
            raise LlamaRefusedError(f"{len(chunk)} tokens cannot be evaluated at once")
        first = self._model.bos_id if self._model.adds_bos else chunk[0]
        self._model.observe([first, *chunk[1:]])

    def table(self) -> tuple[MeasuredTensor, ...]:
        """Every weight that took part, in order of the bytes of its name."""
        weights = self._model.input_sums()
        return tuple(
            MeasuredTensor(name, weights[name].sums.size, tuple(weights[name].counts))
            for name in sorted(weights, key=str.encode)
        )

    def pieces(self, name: str) -> Iterator[str]:
        """The sums of a weight, float32 little endian, in pieces of base64."""
        weights = self._model.input_sums()
        if name not in weights:
            raise LlamaRefusedError(f"no weight {name} was observed")
        data = weights[name].sums.astype("<f4").tobytes()
        for start in range(0, len(data), _PIECE_BYTES):
            yield base64.b64encode(data[start : start + _PIECE_BYTES]).decode("ascii")
