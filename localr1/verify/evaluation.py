"""Owns two models side by side in one process, given the same text a few tokens at a time.

Batch by batch, so that logits over a vocabulary of 150,000 are never held for the whole text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from backends.errors import LlamaRefusedError
from localr1.verify.distributions import Comparison, Logits
from localr1.verify.frames import Prediction
from localr1.verify.passages import PASSAGES


class Predictor(Protocol):
    """What is needed of a loaded model; `backends.llama_model.LlamaModel` is one."""

    n_ctx: int
    n_batch: int
    n_vocab: int
    bos_id: int
    adds_bos: bool

    def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        """Token ids of a text, without BOS."""
        ...

    def evaluate(self, tokens: Sequence[int]) -> memoryview:
        """Logits after each token: len(tokens) * n_vocab float32."""
        ...

    def clear(self) -> None:
        """Forget everything."""
        ...


def compare_predictions(
    source: Predictor, result: Predictor, on_progress: Callable[[float], None]
) -> Prediction:
    """How alike two models of one vocabulary predict the built-in passages.

    `on_progress` gets shares from 0 to 1.
    """
    comparison = Comparison(source.n_vocab)
    texts = [_tokens(source, passage) for passage in PASSAGES]
    n_total, n_done = sum(len(tokens) - 1 for tokens in texts), 0
    for tokens in texts:
        source.clear()
        result.clear()
        # nobody knows what follows the last token
        for start in range(0, len(tokens) - 1, source.n_batch):
            came = np.array(tokens[start + 1 : start + 1 + source.n_batch])
            read = tokens[start : start + len(came)]
            comparison.add(_logits(source, read), _logits(result, read), came)
            n_done += len(read)
            on_progress(n_done / n_total)
    return comparison.prediction()


def require_runs(model: Predictor) -> None:
    """Raises: LlamaRefusedError unless the model turns tokens into numbers."""
    _logits(model, _tokens(model, PASSAGES[0])[: model.n_batch])


def _tokens(model: Predictor, text: str) -> list[int]:
    start = [model.bos_id] if model.adds_bos else []
    # a vocabulary of single letters makes more tokens of a passage than the context holds
    return (start + model.tokenize(text, parse_special=False))[: model.n_ctx]


def _logits(model: Predictor, tokens: Sequence[int]) -> Logits:
    logits = np.frombuffer(model.evaluate(tokens), np.float32)
    if not np.isfinite(logits).all():
        raise LlamaRefusedError("the model computes what is no number")
    return logits.reshape(len(tokens), model.n_vocab)
