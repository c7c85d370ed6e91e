"""Owns what is taken out of every document: characters that people do not see and models read.

Bidirectional overrides show one text and hand over another (CVE-2021-42574); tag characters spell
whole sentences that no screen shows. What scripts and emoji are written with stays: joiners,
direction marks, variation selectors, the tags of the three flags that need them.
"""

from __future__ import annotations

import re

_LINE_ENDS = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")
_FLAG = "\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{1,6}\U000e007f"
_INVISIBLE = (
    "[\x00-\x08\x0e-\x1f\x7f-\x9f\u00ad\u180e\u200b\u202a-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_FLAG_OR_INVISIBLE = re.compile(f"({_FLAG})|{_INVISIBLE}")
_SURROGATE = re.compile("[\ud800-\udfff]")


def cleaned(text: str) -> tuple[str, int]:
    """The text that is seen, and how many characters were taken out of it.

    Ends of lines become newlines; halves of characters, which some PDFs have, become U+FFFD.
    """
    text = _SURROGATE.sub("\ufffd", _LINE_ENDS.sub("\n", text))
    n_taken = 0

    def keep_flags(found: re.Match[str]) -> str:
        nonlocal n_taken
        n_taken += found[1] is None
        return found[1] or ""

    return _FLAG_OR_INVISIBLE.sub(keep_flags, text), n_taken
