"""Owns how two models' predictions are compared: logits in, a few sums out. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from localr1.verify.frames import Prediction

Logits = npt.NDArray[np.float32]
LogShares = npt.NDArray[np.float64]


@dataclass(slots=True)
class Comparison:
    """Adds up predictions as they come; nothing is kept but sums."""

    n_vocab: int
    n_tokens: int = 0
    kl_divergence: float = 0.0
    n_agreeing: int = 0
    source_surprise: float = 0.0
    """Negative logarithm of what the source gave the tokens that came."""
    result_surprise: float = 0.0

    def add(self, source: Logits, result: Logits, came: npt.NDArray[np.intp]) -> None:
        """Predictions for some tokens, and the tokens that came.

        Shapes: both logits (n_tokens, n_vocab), came (n_tokens,).
        """
        # one row at a time: a vocabulary of 150,000 in double precision is a megabyte
        for source_row, result_row, token in zip(source, result, came, strict=True):
            p, q = _log_softmax(source_row), _log_softmax(result_row)
            self.n_tokens += 1
            self.kl_divergence += float(np.exp(p) @ (p - q))
            self.n_agreeing += int(source_row.argmax() == result_row.argmax())
            self.source_surprise -= float(p[token])
            self.result_surprise -= float(q[token])

    def prediction(self) -> Prediction:
        """Means over all tokens so far, at least one."""
        return Prediction(
            n_tokens=self.n_tokens,
            n_vocab=self.n_vocab,
            kl_divergence=self.kl_divergence / self.n_tokens,
            top1_agreement=self.n_agreeing / self.n_tokens,
            source_perplexity=float(np.exp(self.source_surprise / self.n_tokens)),
            result_perplexity=float(np.exp(self.result_surprise / self.n_tokens)),
        )


def _log_softmax(logits: npt.NDArray[np.float32]) -> LogShares:
    shifted = logits.astype(np.float64) - float(logits.max())
    shares: LogShares = shifted - np.log(np.exp(shifted).sum())
    return shares
