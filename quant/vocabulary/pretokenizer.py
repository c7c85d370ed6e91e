"""Owns the names by which llama.cpp knows pre-tokenizers, recognised from tokenizer.json.

llama.cpp's converter encodes a text and looks the hash of the ids up, so every new vocabulary is
unknown to it. What decides is how text is cut before merging, and tokenizer.json states that: the
steps of its pre-tokenizer are compared with the tables of src/llama-vocab.cpp.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quant.errors import UnsupportedError

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_ONE_DIGIT = _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}" + _REST
_THREE_DIGITS = _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}" + _REST

_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_CASED_WORDS = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+%s|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*%s"
)
_PATHS = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_GPT_4O = _CASED_WORDS % (_CONTRACTIONS + "?", _CONTRACTIONS + "?") + r"|\p{N}{1,3}" + _PATHS
_TEKKEN = _CASED_WORDS % ("", "") + r"|\p{N}" + _PATHS

_BYTES = "bytes"
_BYTES_AND_GPT2_WORDS = "bytes, gpt2 words"
_SINGLE_DIGITS = "single digits"

_NAMES: dict[tuple[tuple[str, ...], bool], str] = {
    ((_ONE_DIGIT, _BYTES), False): "qwen2",
    ((_THREE_DIGITS, _BYTES), True): "llama-bpe",
    ((_THREE_DIGITS, _BYTES), False): "smaug-bpe",
    ((_GPT_4O, _BYTES), False): "gpt-4o",
    ((_TEKKEN, _BYTES), True): "tekken",
    ((_BYTES_AND_GPT2_WORDS,), False): "gpt-2",
    ((_SINGLE_DIGITS, _BYTES_AND_GPT2_WORDS), False): "smollm",
}
"""Name by the steps and by `ignore_merges`, which llama.cpp ties to the name."""


def pretokenizer_name(tokenizer: Mapping[str, Any]) -> str:
    """The value of `tokenizer.ggml.pre`. Raises: UnsupportedError showing what was not known."""
    steps = tuple(_steps(tokenizer.get("pre_tokenizer")))
    ignores_merges = tokenizer.get("model", {}).get("ignore_merges") is True
    name = _NAMES.get((steps, ignores_merges))
    if name is None:
        raise UnsupportedError(
            f"tokenizer.json cuts text in a way that is not known: {' then '.join(steps)[:300]}"
            f"{', ignoring merges' if ignores_merges else ''}",
            hint=f"known are {', '.join(_NAMES.values())}",
        )
    return name


def _steps(node: Any) -> list[str]:
    if not isinstance(node, dict):
        return [f"no step ({str(node)[:60]})"]
    match node:
        case {"type": "Sequence", "pretokenizers": [*children]} if len(children) <= 8:
            return [step for child in children for step in _steps(child)]
        case {"type": "Split", "pattern": {"Regex": str(regex)}, "behavior": "Isolated"}:
            return [regex] if not node.get("invert") else [f"the inverse of {regex}"]
        case {"type": "ByteLevel", "add_prefix_space": False}:
            return [_BYTES_AND_GPT2_WORDS if node.get("use_regex", True) else _BYTES]
        case {"type": "Digits", "individual_digits": True}:
            return [_SINGLE_DIGITS]
    return [str(node)[:200]]
