"""Owns the tokenizer's part of the metadata: vocabulary, token types, merges, chat template.

Byte-level BPE only, read from tokenizer.json. Same result as conversion/base.py, get_vocab_base,
which goes through transformers; here the files are read directly and every id is checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any

from quant.architecture import Architecture
from quant.chat_template import add_chat_template
from quant.checkpoint import Checkpoint
from quant.errors import CheckpointDamagedError, NotACheckpointError, UnsupportedError
from quant.gguf_types import KeyValues
from quant.hyperparameters import Hyperparameters
from quant.json_file import MIB
from quant.pretokenizer import pretokenizer_name
from quant.special_tokens import KINDS, content_of, find_special_tokens

_MAX_TOKENIZER_BYTES = 64 * MIB
_MAX_TOKENS = 2_000_000


class TokenType(IntEnum):
    """What llama.cpp does with a token."""

    NORMAL = 1
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5


def add_tokenizer(
    key_values: KeyValues,
    checkpoint: Checkpoint,
    architecture: Architecture,
    parameters: Hyperparameters,
) -> None:
    """Everything llama.cpp needs to encode as the checkpoint's own tokenizer does."""
    tokenizer = _read_tokenizer(checkpoint)
    tokenizer_config = checkpoint.optional_json("tokenizer_config.json", max_bytes=16 * MIB)
    special = find_special_tokens(tokenizer, tokenizer_config, checkpoint.config)
    texts, types = _vocabulary(tokenizer, tokenizer_config, parameters.n_vocab)
    architecture.before_vocabulary(key_values, tokenizer_config)
    key_values.string("tokenizer.ggml.model", "gpt2")
    key_values.string("tokenizer.ggml.pre", pretokenizer_name(tokenizer))
    key_values.strings("tokenizer.ggml.tokens", texts)
    key_values.sints("tokenizer.ggml.token_type", types)
    key_values.strings("tokenizer.ggml.merges", _merges(tokenizer["model"].get("merges")))
    special.write(key_values)
    add_chat_template(key_values, checkpoint.directory, tokenizer_config)
    architecture.after_vocabulary(key_values, parameters)


def _read_tokenizer(checkpoint: Checkpoint) -> dict[str, Any]:
    path = checkpoint.directory / "tokenizer.json"
    if not path.is_file():
        if (checkpoint.directory / "tokenizer.model").is_file():
            raise UnsupportedError(f"{checkpoint.directory} has a SentencePiece tokenizer only")
        raise NotACheckpointError(f"{checkpoint.directory} has no tokenizer.json")
    tokenizer = checkpoint.optional_json("tokenizer.json", max_bytes=_MAX_TOKENIZER_BYTES)
    model = tokenizer.get("model")
    if not isinstance(model, dict) or model.get("type") != "BPE" or model.get("byte_fallback"):
        raise UnsupportedError(f"{path}: only byte-level BPE is supported")
    for part in _normalizers(tokenizer.get("normalizer")):
        # llama.cpp composes no characters; typed text is composed already. The rest would matter
        if part != "NFC":
            raise UnsupportedError(f"{path}: the normalizer {part[:40]!r} is not supported")
    added = tokenizer.setdefault("added_tokens", [])
    if not isinstance(added, list) or not all(isinstance(token, dict) for token in added):
        raise CheckpointDamagedError(f"{path}: added_tokens is no list of tokens")
    return tokenizer


def _normalizers(node: Any) -> list[str]:
    if node is None:
        return []
    match node:
        case {"type": "Sequence", "normalizers": [*children]}:
            return [part for child in children for part in _normalizers(child)]
        case {"type": str(kind)}:
            return [kind]
    return [str(node)]


def _vocabulary(
    tokenizer: Mapping[str, Any], tokenizer_config: Mapping[str, Any], n_vocab: int
) -> tuple[list[str], list[int]]:
    """Text and type of every id below `n_vocab`; ids that nobody uses are filled up."""
    vocabulary = tokenizer["model"].get("vocab")
    if not isinstance(vocabulary, dict) or not vocabulary or n_vocab > _MAX_TOKENS:
        raise CheckpointDamagedError("tokenizer.json: the vocabulary is missing or impossible")
    texts = [f"[PAD{token_id}]" for token_id in range(n_vocab)]
    types = [int(TokenType.UNUSED)] * n_vocab
    special_texts = _special_texts(tokenizer_config)
    for text, token_id in vocabulary.items():
        _require_id(token_id, text, n_vocab)
        if types[token_id] != TokenType.UNUSED:
            raise CheckpointDamagedError(f"tokenizer.json: id {token_id} belongs to two tokens")
        texts[token_id] = text
        types[token_id] = TokenType.CONTROL if text in special_texts else TokenType.NORMAL
    for token in tokenizer["added_tokens"]:
        text = content_of(token)
        if text is None:
            raise CheckpointDamagedError("tokenizer.json: an added token has no content")
        token_id = token.get("id")
        _require_id(token_id, text, n_vocab)
        if token.get("special") or text in special_texts or _looks_special(text):
            texts[token_id], types[token_id] = text, TokenType.CONTROL
        else:
            # llama.cpp matches these in plain text, where a blank is a blank
            texts[token_id] = text.replace("\u2581", " ")
            types[token_id] = TokenType.USER_DEFINED
    return texts, types


def _require_id(token_id: Any, text: str, n_vocab: int) -> None:
    if type(token_id) is not int or not 0 <= token_id < n_vocab:
        raise CheckpointDamagedError(
            f"tokenizer.json: token {text[:40]!r} has id {str(token_id)[:20]}, "
            f"config.json allows 0 to {n_vocab - 1}"
        )


def _special_texts(tokenizer_config: Mapping[str, Any]) -> set[str]:
    entries = [tokenizer_config.get(f"{kind}_token") for kind in KINDS]
    for key in ("additional_special_tokens", "extra_special_tokens"):
        extra = tokenizer_config.get(key)
        entries += extra if isinstance(extra, list) else []
    return {text for text in map(content_of, entries) if text}


def _looks_special(text: str) -> bool:
    """Added tokens that models forgot to mark. Source: conversion/base.py."""
    return (
        text in {"<pad>", "<mask>", "<2mass>", "[@BOS@]"}
        or (text.startswith("<|") and text.endswith("|>"))
        or (text.startswith("<｜") and text.endswith("｜>"))
        or (text.startswith("<unused") and text.endswith(">"))
    )


def _merges(merges: Any) -> list[str]:
    """Merges as `left right`; a blank inside a part is written as the byte-level alphabet does."""
    if not isinstance(merges, list):
        raise CheckpointDamagedError("tokenizer.json: merges is no list")
    lines = []
    for merge in merges:
        match merge:
            case str():
                lines.append(merge)
            case [str(left), str(right)]:
                lines.append(f"{left.replace(' ', 'Ġ')} {right.replace(' ', 'Ġ')}")
            case _:
                raise CheckpointDamagedError(f"tokenizer.json: merge {str(merge)[:60]} is no pair")
    return lines
