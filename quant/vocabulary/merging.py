"""Owns whether merging alone builds every token of a byte-level vocabulary.

A tokenizer may take a piece of text that is a token as it is, merges or not. llama.cpp ties that
to the name of the pre-tokenizer. Where every token is what merging makes of its own text, both
ways give the same ids; vocabularies that came from tiktoken are like that.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from quant.vocabulary.special_tokens import content_of

_MAX_STEPS = 10**8
"""Above the square lengths of all tokens in any honest vocabulary; more would take minutes."""


def merging_builds_every_token(tokenizer: Mapping[str, Any]) -> bool:
    """Whether each trained token comes out whole when its text is merged by rank."""
    model = tokenizer.get("model", {})
    tokens, merges = model.get("vocab"), model.get("merges")
    if not isinstance(tokens, dict) or not isinstance(merges, list) or not tokens:
        return False
    ranks: dict[tuple[str, str], int] = {}
    for rank, merge in enumerate(merges):
        pair = merge.split(" ") if isinstance(merge, str) else merge
        if not isinstance(pair, list) or len(pair) != 2:
            return False
        ranks.setdefault((str(pair[0]), str(pair[1])), rank)
    if sum(len(text) ** 2 for text in tokens) > _MAX_STEPS:
        return False
    added = {content_of(token) for token in tokenizer.get("added_tokens", ())}
    return all(text in added or _is_built(text, ranks) for text in tokens)


def _is_built(text: str, ranks: Mapping[tuple[str, str], int]) -> bool:
    parts = list(text)
    never = len(ranks)
    while len(parts) > 1:
        by_rank = [ranks.get(pair, never) for pair in itertools.pairwise(parts)]
        best = min(by_rank)
        if best == never:
            return False
        at = by_rank.index(best)
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return True
