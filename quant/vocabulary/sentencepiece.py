"""Owns vocabularies that come from SentencePiece, out of `tokenizer.model` or `tokenizer.json`.

The first is what llama.cpp's converter reads (conversion/base.py, _create_vocab_sentencepiece).
Where only the second is there, llama.cpp gives every token the same score and so forgets which pair
to merge first; here a token's score is the rank of the merge that makes it, as it was trained.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from quant.errors import CheckpointDamagedError, UnsupportedError
from quant.source.checkpoint import Checkpoint
from quant.vocabulary.byte_level import (
    BLANK,
    TokenType,
    Vocabulary,
    require_content,
    require_id,
    trained_tokens,
)
from quant.vocabulary.sentencepiece_model import read_pieces

MODEL_FILE = "tokenizer.model"
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")


def vocabulary_from_model(
    checkpoint: Checkpoint,
    tokenizer: Mapping[str, Any],
    tokenizer_config: Mapping[str, Any],
    n_vocab: int,
) -> Vocabulary:
    """The tokens of tokenizer.model and what was added to them later."""
    vocabulary = Vocabulary.unused(n_vocab)
    pieces = read_pieces(checkpoint.directory / MODEL_FILE)
    for token_id, piece in enumerate(pieces[:n_vocab]):
        token_type = TokenType(piece.piece_type)
        if token_type is TokenType.USER_DEFINED:
            token_type = TokenType.NORMAL  # llama.cpp's converter does not tell them apart
        vocabulary.put(token_id, piece.text, token_type, piece.score)
    for text, token_id in checkpoint.optional_json("added_tokens.json").items():
        vocabulary.put(require_id(token_id, text, n_vocab), text, TokenType.USER_DEFINED)
    decoder = tokenizer_config.get("added_tokens_decoder", {})
    if not isinstance(decoder, dict):
        raise CheckpointDamagedError("tokenizer_config.json: added_tokens_decoder is no object")
    # transformers 5 keeps them in tokenizer.json alone; where both speak, llama.cpp hears the first
    added: dict[int | None, Any] = {
        require_id(token.get("id"), require_content(token), n_vocab): token
        for token in tokenizer["added_tokens"]
    }
    added |= {_number(key): token for key, token in decoder.items()}
    for stated_id, token in added.items():
        text = require_content(token)
        is_special = isinstance(token, dict) and token.get("special") is True
        vocabulary.put_added(require_id(stated_id, text, n_vocab), text, is_special=is_special)
    return vocabulary


def vocabulary_from_merges(
    tokenizer: Mapping[str, Any], merges: list[str], n_vocab: int
) -> Vocabulary:
    """The tokens of a tokenizer.json that was made from a SentencePiece model."""
    vocabulary = Vocabulary.unused(n_vocab)
    ranks: dict[str, int] = {}
    for rank, merge in enumerate(merges):
        ranks.setdefault(merge.replace(" ", ""), rank)
    unknown = tokenizer["model"].get("unk_token")
    for text, token_id in trained_tokens(tokenizer, n_vocab):
        token_type = TokenType.NORMAL
        if text == unknown:
            token_type = TokenType.UNKNOWN
        elif _BYTE.fullmatch(text):
            token_type = TokenType.BYTE
        vocabulary.put(token_id, text, token_type, -float(ranks.get(text, len(merges))))
    for token in tokenizer["added_tokens"]:
        text = require_content(token)
        token_id = require_id(token.get("id"), text, n_vocab)
        vocabulary.put_added(token_id, text, is_special=token.get("special") is True)
    return vocabulary


def prepends_a_blank(tokenizer: Mapping[str, Any]) -> bool:
    """Whether text gets a blank in front, by the steps of a tokenizer.json.

    Raises: UnsupportedError for a step that SentencePiece tokenizers do not have.
    """
    steps = [*_steps(tokenizer.get("normalizer")), *_steps(tokenizer.get("pre_tokenizer"))]
    prepends = False
    for step in steps:
        match step:
            case {"type": "Prepend", "prepend": text} if text == BLANK:
                prepends = True
            case {"type": "Replace", "pattern": {"String": " "}, "content": text} if text == BLANK:
                pass
            case {"type": "Metaspace", "replacement": text} if text == BLANK:
                prepends = step.get("prepend_scheme", "always") != "never"
            case {"type": "Split", "pattern": {"String": " "}}:
                pass
            case _:
                raise UnsupportedError(
                    f"tokenizer.json: the step {str(step)[:80]} is not known in a SentencePiece "
                    "tokenizer"
                )
    return prepends


def _steps(node: Any) -> list[Any]:
    match node:
        case None:
            return []
        case {"type": "Sequence", "normalizers": [*children]}:
            return [step for child in children for step in _steps(child)]
        case {"type": "Sequence", "pretokenizers": [*children]}:
            return [step for child in children for step in _steps(child)]
    return [node]


def _number(key: str) -> int | None:
    return int(key) if key.isascii() and key.isdecimal() and len(key) < 10 else None
