r"""Owns how the name of a pre-tokenizer is found: by the steps that tokenizer.json states.

llama.cpp's converter encodes a text and looks the hash of the ids up, so every new vocabulary is
unknown to it. What decides is how text is cut before merging, and whether a piece that is a token
is taken whole (`ignore_merges`). The latter makes no difference where merging builds every token.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from quant.errors import UnsupportedError
from quant.gguf.key_values import KeyValues
from quant.vocabulary.cuts import (
    BYTES,
    BYTES_AND_GPT2_WORDS,
    CUTS_AT_MARKS,
    JOINS_DIGITS,
    NAMES,
    SINGLE_DIGITS,
    WHOLE_TEXT,
)
from quant.vocabulary.merging import merging_builds_every_token

_TWO_DIGITS = re.compile("[0-9]{2}")


def pretokenizer_name(tokenizer: Mapping[str, Any]) -> str:
    """The value of `tokenizer.ggml.pre`. Raises: UnsupportedError showing what was not known."""
    steps = tuple(_steps(tokenizer.get("pre_tokenizer")))
    model = tokenizer.get("model", {})
    ignores_merges = model.get("ignore_merges") is True
    name = NAMES.get((steps, ignores_merges))
    if name is None:
        name = NAMES.get((steps, not ignores_merges))
        if name is not None and not merging_builds_every_token(tokenizer):
            name = None
    if name is None:
        raise UnsupportedError(
            f"tokenizer.json cuts text in a way that is not known: {' then '.join(steps)[:300]}"
            f"{', ignoring merges' if ignores_merges else ''}",
            hint=f"known are {', '.join(NAMES.values())}",
        )
    if name in JOINS_DIGITS and any(_TWO_DIGITS.search(text) for text in model.get("vocab", ())):
        raise UnsupportedError(
            f"tokenizer.json parts digits and has tokens of several: {name} in llama.cpp joins them"
        )
    return name


def cuts_at_marks(key_values: KeyValues) -> bool:
    """Whether llama.cpp takes words of Hindi, Thai and their like apart, unlike the tokenizer."""
    stated = key_values.items.get("tokenizer.ggml.pre")
    return stated is not None and stated.value in CUTS_AT_MARKS


def notices_about_cut(key_values: KeyValues) -> tuple[str, ...]:
    """What the user should know about the way llama.cpp cuts text."""
    notice = (
        "llama.cpp takes words of Hindi, Thai and other scripts with vowel signs apart where "
        "this tokenizer does not: such text becomes other and more tokens"
    )
    return (notice,) if cuts_at_marks(key_values) else ()


def _steps(node: Any) -> list[str]:
    if not isinstance(node, dict):
        return [f"no step ({str(node)[:60]})"]
    match node:
        case {"type": "Sequence", "pretokenizers": [*children]} if len(children) <= 8:
            return [step for child in children for step in _steps(child)]
        case {"type": "Split", "pattern": {"Regex": str(regex)}}:
            return [_split(node, regex.replace("\r", r"\r").replace("\n", r"\n"))]
        case {"type": "ByteLevel", "add_prefix_space": False}:
            return [BYTES_AND_GPT2_WORDS if node.get("use_regex", True) else BYTES]
        case {"type": "Digits", "individual_digits": True}:
            return [SINGLE_DIGITS]
    return [str(node)[:200]]


def _split(node: Mapping[str, Any], regex: str) -> str:
    match node.get("behavior"), bool(node.get("invert")):
        case "Isolated", False:
            return regex
        case "Removed", True if regex in WHOLE_TEXT:
            return regex
        case behavior, inverts:
            return f"{behavior}{' inverse' if inverts else ''} {regex}"
