"""Owns what the converter asks the verifying child, and what it is told, as frozen dataclasses.

`localr1.worker.protocol` puts them on the wire.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerReport:
    """How two tokenizers compare."""

    reader: Literal["tokenizers", "sentencepiece", ""]
    """The library that read the checkpoint's tokenizer; empty if there was nothing to compare."""
    skipped: str = ""
    """Why nothing was compared."""
    n_texts: int = 0
    n_different: int = 0
    text: str = ""
    """The first text that is encoded otherwise, and both results."""
    in_gguf: tuple[int, ...] = ()
    in_checkpoint: tuple[int, ...] = ()

    def line(self) -> str:
        """For people."""
        if not self.reader:
            return f"tokenizer not compared: {self.skipped}"
        n_same = self.n_texts - self.n_different
        return f"tokenizer: {n_same:,} of {self.n_texts:,} texts as the library {self.reader} does"


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorPlace:
    """Where llama.cpp finds a tensor in a file."""

    name: str
    type_id: int
    """ggml_type."""
    offset: int
    """From the start of the file."""
    n_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """How alike two models predict the same text, token by token."""

    n_tokens: int
    """Predictions compared."""
    n_vocab: int
    kl_divergence: float
    """Mean over the tokens, in nats: what is lost by believing the result instead of the source."""
    top1_agreement: float
    """Share of the tokens for which both think the same one most likely."""
    source_perplexity: float
    result_perplexity: float

    @property
    def perplexity_ratio(self) -> float:
        """The result's over the source's; above 1 it predicts worse."""
        return self.result_perplexity / self.source_perplexity
