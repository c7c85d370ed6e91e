"""Owns the estimate of how many tokens a text is, where no tokenizer is at hand. Pure.

Vocabularies differ most where they were not trained: English is a fifth of a token per letter in
all of them, Thai a third in one and nearly two in another. The rates are ranges that hold the
tokenizers of SmolLM2 (49,152 tokens), Qwen2.5 (152,064) and Gemma 3 (262,144), measured on prose in
fifteen languages, code, tables and numbers, with a tenth on either side.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_MARGIN = 0.1


@dataclass(frozen=True, slots=True)
class Count:
    """Tokens, from and to; the same number twice where they were counted."""

    lowest: int
    highest: int

    @classmethod
    def exact(cls, n_tokens: int) -> Count:
        """A count and no estimate."""
        return cls(n_tokens, n_tokens)

    @property
    def is_estimate(self) -> bool:
        """Whether nobody counted."""
        return self.lowest != self.highest

    def __add__(self, other: Count) -> Count:
        return Count(self.lowest + other.lowest, self.highest + other.highest)


@dataclass(frozen=True, slots=True)
class _Rate:
    """Tokens that a run of characters is, from and to: for each run, and for each character."""

    per_run: tuple[float, float]
    per_char: tuple[float, float]


# by what they match. Single blanks belong to words; letters with accents count twice
_CLASSES = {
    r"[A-Z]?[a-z\u00c0-\u024f\u1e00-\u1eff]+|[A-Z]+": _Rate((0.95, 0.8), (0.03, 0.2)),
    r"[ \t]?[0-9]+": _Rate((0, 0), (0.33, 1)),
    r"[ \t]+": _Rate((0, 0.1), (0, 0.03)),
    r"\n+": _Rate((0.3, 1), (0, 0)),
    r"[!-/:-@[-`{-~]": _Rate((0.4, 1), (0, 0)),
    r"[\u00a0-\u024f\u1e00-\u1eff]": _Rate((0, 3.8), (0, 0)),
    r"[\u0370-\u052f\u1f00-\u1fff]+": _Rate((0, 0), (0.18, 1)),  # Greek, Cyrillic
    r"[\u0590-\u08ff]+": _Rate((0, 0), (0.35, 1.15)),  # Hebrew, Arabic
    r"[\u0900-\u109f\u1780-\u17ff]+": _Rate((0, 0), (0.25, 2)),  # of India and its neighbours
    r"[\u1100-\u11ff\uac00-\ud7a3]+": _Rate((0, 0), (0.55, 2.6)),  # Korean
    r"[\u2e80-\u9fff\uff00-\uffef]+": _Rate((0, 0), (0.5, 1.8)),  # Chinese, Japanese
    r"[^\0-\u052f\u0590-\u11ff\u1780-\u17ff\u1e00-\u1fff\u2e80-\u9fff\uac00-\ud7a3\uff00-\uffef]": (
        _Rate((0.5, 3), (0, 0))
    ),
}


def estimated(text: str) -> Count:
    """The tokens of a text, from and to."""
    lowest = highest = 0.0
    for runs, rate in _CLASSES.items():
        found = re.findall(runs, text)
        n_chars = sum(map(len, found))
        lowest += len(found) * rate.per_run[0] + n_chars * rate.per_char[0]
        highest += len(found) * rate.per_run[1] + n_chars * rate.per_char[1]
    return Count(int(lowest * (1 - _MARGIN)), int(highest * (1 + _MARGIN)) + 1)
