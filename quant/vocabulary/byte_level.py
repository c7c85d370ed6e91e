"""Owns what a vocabulary is to llama.cpp: a text, a type and perhaps a score for every id."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from quant.errors import CheckpointDamagedError
from quant.vocabulary.special_tokens import content_of

_MAX_TOKENS = 2_000_000
BLANK = "\u2581"
"""How SentencePiece writes a blank."""


class TokenType(IntEnum):
    """What llama.cpp does with a token."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(slots=True)
class Vocabulary:
    """Tokens by id. Ids that nobody uses have a filler."""

    texts: list[str]
    types: list[int]
    scores: list[float]
    """Rank of a SentencePiece token in merging, higher first; byte-level BPE has none."""

    @classmethod
    def unused(cls, n_vocab: int) -> Vocabulary:
        """A vocabulary of fillers. Raises: CheckpointDamagedError if it were impossibly large."""
        if n_vocab > _MAX_TOKENS:
            raise CheckpointDamagedError(
                f"config.json: a vocabulary of {n_vocab:,} tokens is impossible"
            )
        texts = [f"[PAD{token_id}]" for token_id in range(n_vocab)]
        return cls(texts, [int(TokenType.UNUSED)] * n_vocab, [-10000.0] * n_vocab)

    def put(self, token_id: int, text: str, token_type: TokenType, score: float = -1000.0) -> None:
        """Set one token."""
        self.texts[token_id], self.types[token_id] = text, int(token_type)
        self.scores[token_id] = score

    def put_added(self, token_id: int, text: str, *, is_special: bool) -> None:
        """Set a token that was added to the trained ones."""
        if is_special or looks_special(text):
            self.put(token_id, text, TokenType.CONTROL)
        else:
            # llama.cpp matches these in plain text, where a blank is a blank
            self.put(token_id, text.replace(BLANK, " "), TokenType.USER_DEFINED)


def looks_special(text: str) -> bool:
    """Added tokens that models forgot to mark. Source: conversion/base.py."""
    return (
        text in {"<pad>", "<mask>", "<2mass>", "[@BOS@]"}
        or (text.startswith("<|") and text.endswith("|>"))
        or (text.startswith("<｜") and text.endswith("｜>"))
        or (text.startswith("<unused") and text.endswith(">"))
    )


def require_id(token_id: Any, text: str, n_vocab: int) -> int:
    """The id, if it is one of the vocabulary. Raises: CheckpointDamagedError naming the token."""
    if type(token_id) is not int or not 0 <= token_id < n_vocab:
        raise CheckpointDamagedError(
            f"tokenizer.json: token {text[:40]!r} has id {str(token_id)[:20]}, "
            f"config.json allows 0 to {n_vocab - 1}"
        )
    return token_id


def require_content(token: Any) -> str:
    """The text of an added token. Raises: CheckpointDamagedError if it has none."""
    text = content_of(token)
    if text is None:
        raise CheckpointDamagedError("tokenizer.json: an added token has no content")
    return text


def trained_tokens(tokenizer: Mapping[str, Any], n_vocab: int) -> list[tuple[str, int]]:
    """Text and id of the tokens in tokenizer.json's model, each id once."""
    vocabulary = tokenizer["model"].get("vocab")
    if not isinstance(vocabulary, dict) or not vocabulary:
        raise CheckpointDamagedError("tokenizer.json: the vocabulary is missing or impossible")
    seen: set[int] = set()
    for text, token_id in vocabulary.items():
        if require_id(token_id, text, n_vocab) in seen:
            raise CheckpointDamagedError(f"tokenizer.json: id {token_id} belongs to two tokens")
        seen.add(token_id)
    return list(vocabulary.items())
