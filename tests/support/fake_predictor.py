"""A model whose tokens are letters, and which notes what it is given to read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


class FakePredictor:
    """As `localr1.verify.evaluation.Predictor`. Thinks every token as likely as any other."""

    def __init__(self, *, n_ctx: int = 100, adds_bos: bool = False, logit: float = 0.0) -> None:
        self.n_ctx = n_ctx
        self.n_batch = 16
        self.n_vocab = 64
        self.bos_id = 63
        self.adds_bos = adds_bos
        self._logit = logit
        self.texts: list[list[int]] = []
        """What was read between two calls of `clear`."""
        self.batch_sizes: list[int] = []

    def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        """One token for a letter."""
        return [ord(letter) % 62 for letter in text]

    def evaluate(self, tokens: Sequence[int]) -> memoryview:
        """The same logit for everything."""
        self.texts[-1].extend(tokens)
        self.batch_sizes.append(len(tokens))
        return np.full(len(tokens) * self.n_vocab, self._logit, np.float32).data

    def clear(self) -> None:
        """Another text begins."""
        self.texts.append([])
