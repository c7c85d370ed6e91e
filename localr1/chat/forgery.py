"""Owns the guard against forged roles: control tokens that someone typed, pasted or generated.

A document may contain `<|im_end|>` or `</think>`. Before rendering, such spellings are marked with
two characters that occur nowhere in the conversation; after rendering, what stands between the
marks becomes a segment that may not name special tokens. The first character of a spelling stays
outside, so that a template that looks for `</think>` does not find a forged one either. A
conversation without spellings is rendered and tokenised exactly as it would be without the guard.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable

from localr1.errors import UsageError
from localr1.worker.frames import Segment

# Gemma has these as tokens of their own; they are ordinary text and no control
_HTML = re.compile(
    r"</?(a|b|bbox|blockquote|body|caption|code|div|em|footer|h[1-6]|html|i|iframe|img|li|span"
    r"|strong|sub|sup|table|tbody|td|tfoot|th|thead|tr|u|ul)>"
)
_PRIVATE_USE = ((0xE000, 0xF900), (0xF0000, 0xFFFFE), (0x100000, 0x10FFFE))


class Spellings:
    """The texts that only a template may write; thousands cost no more than ten."""

    def __init__(self, texts: Iterable[str]) -> None:
        controls = {text for text in texts if len(text) > 1 and text.strip()}
        self._texts = {text for text in controls if not _HTML.fullmatch(text)}
        self._lengths = sorted({len(text) for text in self._texts}, reverse=True)
        first = "".join(sorted({text[0] for text in self._texts}))
        self._starts = re.compile(f"[{re.escape(first)}]") if first else re.compile(r"(?!)")

    def mark(self, text: str, marks: tuple[str, str]) -> str:
        """The text with marks inside every spelling: `<` + mark + `think>` + mark."""
        parts: list[str] = []
        position = 0
        for match in self._starts.finditer(text):
            start = match.start()
            length = self._length_at(text, start) if start >= position else 0
            if length:
                parts += (text[position : start + 1], marks[0])
                position = start + length
                parts += (text[start + 1 : position], marks[1])
        return "".join([*parts, text[position:]])

    def _length_at(self, text: str, start: int) -> int:
        fitting = (n for n in self._lengths if text[start : start + n] in self._texts)
        return next(fitting, 0)


def choose_marks(texts: Iterable[str]) -> tuple[str, str]:
    """Two private-use characters that none of the texts contains."""
    used = set().union(*texts)
    candidates = (chr(code) for code in itertools.chain(*(range(*r) for r in _PRIVATE_USE)))
    free = [*itertools.islice((mark for mark in candidates if mark not in used), 2)]
    if len(free) < 2:
        raise UsageError(
            "the text uses every private character of Unicode", hint="it is hardly meant to be read"
        )
    return free[0], free[1]


def cut_at_marks(prompt: str, marks: tuple[str, str]) -> tuple[Segment, ...]:
    """The prompt in segments: template and plain text, and forged spellings as literal text."""
    before, after = marks
    pieces = re.split(f"{before}([^{before}{after}]*){after}", prompt)
    stray = str.maketrans("", "", before + after)  # a template may have cut a marked text in two
    return tuple(
        Segment(text, parse_special=index % 2 == 0)
        for index, piece in enumerate(pieces)
        if (text := piece.translate(stray))
    )
