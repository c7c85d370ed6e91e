"""Owns text on its way to token ids through llama.cpp, with or without a model's weights.

The conversion's tokenizer check and the counting of documents load a vocabulary alone: a GGUF
header is enough for that.
"""

from __future__ import annotations

from typing import Any


def tokenize(c: Any, vocab: Any, text: str, *, parse_special: bool) -> list[int]:
    """Token ids of a text, without BOS. `c` is the bound library, `vocab` a handle of it."""
    data = text.encode("utf-8", errors="replace")
    capacity = len(data) + 8
    while True:
        tokens = (c.llama_token * capacity)()
        count = c.llama_tokenize(vocab, data, len(data), tokens, capacity, False, parse_special)
        if count >= 0:
            return list(tokens[:count])
        capacity = -count


class LlamaVocabulary:
    """A model of which llama.cpp loaded nothing but the vocabulary. Owns `model`."""

    def __init__(self, c: Any, model: Any) -> None:
        self._c = c
        self._model = model
        self._vocab = c.llama_model_get_vocab(model)

    def tokenize(self, text: str, *, parse_special: bool = True) -> list[int]:
        """Token ids of a text; spellings of special tokens become these tokens, or do not."""
        return tokenize(self._c, self._vocab, text, parse_special=parse_special)

    def close(self) -> None:
        """Free it."""
        self._c.llama_model_free(self._model)
