"""Owns `safe_text`: the one gate through which foreign text passes before it meets a terminal.

Answers, thoughts, file names, metadata and error messages can carry escape sequences that move
the cursor, write the clipboard or rename the window. Textual and Rich pass them on. Replacement is
done character by character, so that a sequence cut between two tokens is no way around it. What
scripts need to be written (joiners, direction marks) is left alone.
"""

from __future__ import annotations

_VISIBLE = {code: chr(0x2400 + code) for code in range(0x20)}  # U+2400 block: pictures of controls
_VISIBLE[0x7F] = "\u2421"
_VISIBLE |= dict.fromkeys(range(0x80, 0xA0), "\ufffd")
# bidirectional overrides and isolates can reorder what the reader sees (CVE-2021-42574)
_VISIBLE |= dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x2070)], "\ufffd")
# tag characters spell invisible text; the flags of three nations need them too, and lose
_VISIBLE |= dict.fromkeys([*range(0xE0000, 0xE0080), *range(0xFFF9, 0xFFFC)], "\ufffd")
_VISIBLE |= dict.fromkeys([0x2028, 0x2029], "\n")  # some libraries break lines there, some do not
_VISIBLE |= dict.fromkeys(range(0xD800, 0xE000), "\ufffd")  # lone surrogates cannot be encoded
del _VISIBLE[0x09], _VISIBLE[0x0A]


def safe_text(text: str) -> str:
    """The text with every control character but tab and newline made visible."""
    return text.translate(_VISIBLE)


def safe_line(text: str) -> str:
    """`safe_text` on one line: newlines and tabs become blanks. For names and error messages."""
    return safe_text(" ".join(text.split()))
