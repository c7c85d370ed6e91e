"""Owns the tokenizer's part of the metadata: vocabulary, token types, merges, chat template.

Two kinds of tokenizer exist: byte-level BPE, read from tokenizer.json, and SentencePiece, read from
tokenizer.model or from the tokenizer.json made of it. Same result as conversion/base.py, which
goes through transformers and sentencepiece; here the files are read directly, every id checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quant.errors import CheckpointDamagedError, NotACheckpointError, UnsupportedError
from quant.families.architecture import Architecture
from quant.families.hyperparameters import Hyperparameters
from quant.gguf.key_values import KeyValues
from quant.source.checkpoint import Checkpoint
from quant.source.json_file import MIB
from quant.vocabulary.byte_level import (
    TokenType,
    Vocabulary,
    require_content,
    require_id,
    trained_tokens,
)
from quant.vocabulary.chat_template import add_chat_template
from quant.vocabulary.pretokenizer import pretokenizer_name
from quant.vocabulary.sentencepiece import (
    MODEL_FILE,
    prepends_a_blank,
    vocabulary_from_merges,
    vocabulary_from_model,
)
from quant.vocabulary.special_tokens import content_of, find_special_tokens

_MAX_TOKENIZER_BYTES = 64 * MIB
_ADDS_BLANK = "tokenizer.ggml.add_space_prefix"


def add_tokenizer(
    key_values: KeyValues,
    checkpoint: Checkpoint,
    architecture: Architecture,
    parameters: Hyperparameters,
) -> None:
    """Everything llama.cpp needs to encode as the checkpoint's own tokenizer does."""
    tokenizer = _read_tokenizer(checkpoint)
    tokenizer_config = checkpoint.optional_json("tokenizer_config.json", max_bytes=16 * MIB)
    architecture.before_vocabulary(key_values, tokenizer_config)
    n_vocab = None
    if tokenizer.get("model") is None or tokenizer["model"].get("byte_fallback"):
        n_vocab = parameters.n_vocab
        _add_sentencepiece(key_values, checkpoint, tokenizer, tokenizer_config, n_vocab)
    else:
        _add_byte_level(key_values, tokenizer, tokenizer_config, parameters.n_vocab)
    special = find_special_tokens(tokenizer, tokenizer_config, checkpoint.config, n_vocab=n_vocab)
    special.write(key_values)
    add_chat_template(key_values, checkpoint.directory, tokenizer_config)
    architecture.after_vocabulary(key_values, parameters)


def _add_sentencepiece(
    key_values: KeyValues,
    checkpoint: Checkpoint,
    tokenizer: Mapping[str, Any],
    tokenizer_config: Mapping[str, Any],
    n_vocab: int,
) -> None:
    if (checkpoint.directory / MODEL_FILE).is_file():
        vocabulary = vocabulary_from_model(checkpoint, tokenizer, tokenizer_config, n_vocab)
    else:
        merges = _merges(tokenizer["model"].get("merges"), blank="")
        vocabulary = vocabulary_from_merges(tokenizer, merges, n_vocab)
        if not prepends_a_blank(tokenizer) and _ADDS_BLANK not in key_values.items:
            key_values.flag(_ADDS_BLANK, False)
    key_values.string("tokenizer.ggml.model", "llama")
    key_values.string("tokenizer.ggml.pre", "default")
    key_values.strings("tokenizer.ggml.tokens", vocabulary.texts)
    key_values.reals("tokenizer.ggml.scores", vocabulary.scores)
    key_values.sints("tokenizer.ggml.token_type", vocabulary.types)


def _add_byte_level(
    key_values: KeyValues,
    tokenizer: Mapping[str, Any],
    tokenizer_config: Mapping[str, Any],
    n_vocab: int,
) -> None:
    vocabulary = _byte_level_vocabulary(tokenizer, tokenizer_config, n_vocab)
    key_values.string("tokenizer.ggml.model", "gpt2")
    key_values.string("tokenizer.ggml.pre", pretokenizer_name(tokenizer))
    key_values.strings("tokenizer.ggml.tokens", vocabulary.texts)
    key_values.sints("tokenizer.ggml.token_type", vocabulary.types)
    # a blank inside a part is written as the byte-level alphabet does
    key_values.strings(
        "tokenizer.ggml.merges", _merges(tokenizer["model"].get("merges"), blank="Ġ")
    )


def _read_tokenizer(checkpoint: Checkpoint) -> dict[str, Any]:
    path = checkpoint.directory / "tokenizer.json"
    if not path.is_file():
        if (checkpoint.directory / MODEL_FILE).is_file():
            return {"added_tokens": []}
        raise NotACheckpointError(
            f"{checkpoint.directory} has neither tokenizer.json nor {MODEL_FILE}"
        )
    tokenizer = checkpoint.optional_json("tokenizer.json", max_bytes=_MAX_TOKENIZER_BYTES)
    model = tokenizer.get("model")
    if not isinstance(model, dict) or model.get("type") != "BPE":
        raise UnsupportedError(f"{path}: only BPE is supported")
    for part in [] if model.get("byte_fallback") else _normalizers(tokenizer.get("normalizer")):
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


def _byte_level_vocabulary(
    tokenizer: Mapping[str, Any], tokenizer_config: Mapping[str, Any], n_vocab: int
) -> Vocabulary:
    vocabulary = Vocabulary.unused(n_vocab)
    special_texts = _special_texts(tokenizer_config)
    for text, token_id in trained_tokens(tokenizer, n_vocab):
        is_special = text in special_texts
        vocabulary.put(token_id, text, TokenType.CONTROL if is_special else TokenType.NORMAL)
    for token in tokenizer["added_tokens"]:
        text = require_content(token)
        token_id = require_id(token.get("id"), text, n_vocab)
        is_special = bool(token.get("special")) or text in special_texts
        vocabulary.put_added(token_id, text, is_special=is_special)
    return vocabulary


def _special_texts(tokenizer_config: Mapping[str, Any]) -> set[str]:
    # transformers takes every `..._token` for special, not only those it knows
    entries = [entry for key, entry in tokenizer_config.items() if key.endswith("_token")]
    for key in ("additional_special_tokens", "extra_special_tokens"):
        extra = tokenizer_config.get(key)
        if isinstance(extra, dict):
            extra = list(extra.values())
        entries += extra if isinstance(extra, list) else []
    return {text for text in map(content_of, entries) if text}


def _merges(merges: Any, *, blank: str) -> list[str]:
    """Merges as `left right`; `blank` stands for a blank inside a part."""
    if not isinstance(merges, list):
        raise CheckpointDamagedError("tokenizer.json: merges is no list")
    lines = []
    for merge in merges:
        match merge:
            case str():
                lines.append(merge)
            case [str(left), str(right)]:
                lines.append(f"{left.replace(' ', blank)} {right.replace(' ', blank)}")
            case _:
                raise CheckpointDamagedError(f"tokenizer.json: merge {str(merge)[:60]} is no pair")
    return lines
