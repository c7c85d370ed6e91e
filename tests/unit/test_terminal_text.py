"""No payload reaches the terminal, and no script loses what it needs to be written."""

from __future__ import annotations

import itertools
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localr1.terminal_text import safe_line, safe_text

PAYLOADS = [
    "\x1b]52;c;ZWNobyBoaQ==\x07",  # writes the clipboard
    "\x1b]0;title\x07",  # renames the window
    "\x1b]8;;http://example.org\x1b\\text\x1b]8;;\x1b\\",  # a link behind other text
    "\x1b[2J\x1b[H",  # clears the screen
    "\x1b[?1049h",  # swaps the screen
    "\x1b[31m",  # colours
    '\x1bP$q"p\x1b\\',  # asks the terminal to type an answer
    "\x1b_payload\x1b\\",
    "\x9b2J",  # the same with eight-bit controls
    "\x9d0;title\x9c",
    "\x90$qm\x9c",
    "abc\rxyz",  # overwrites a line
    "abc\b\b\bxyz",
    "\x07\x00\x7f",
    "\u202egnp.exe\u202c",  # turns a name around
    "\u2067rtl\u2069",
    "a\U000e0068\U000e0069\U000e007f",  # invisible letters
]
BANNED = {"Cc", "Cs"}


def is_harmless(text: str) -> bool:
    hidden = any(
        "\U000e0000" <= c <= "\U000e007f"
        or unicodedata.bidirectional(c)
        in {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
        for c in text
    )
    controls = any(unicodedata.category(c) in BANNED and c not in "\n\t" for c in text)
    return not hidden and not controls


@pytest.mark.parametrize("payload", PAYLOADS, ids=ascii)
def test_payload_arrives_as_visible_signs_only(payload: str) -> None:
    assert not is_harmless(payload)

    assert is_harmless(safe_text(payload))
    assert is_harmless(safe_line(payload))
    assert len(safe_text(payload)) == len(payload)


@given(st.sampled_from(PAYLOADS), st.data())
def test_payload_cut_anywhere_is_the_payload_in_one_piece(
    payload: str, data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(payload)))))
    edges = [0, *cuts, len(payload)]
    pieces = [payload[a:b] for a, b in itertools.pairwise(edges)]

    assert "".join(map(safe_text, pieces)) == safe_text(payload)


@given(st.text(st.characters(codec=None)))
def test_any_text_is_harmless_and_stays_so(text: str) -> None:
    safe = safe_text(text)

    assert is_harmless(safe)
    assert safe_text(safe) == safe
    assert safe.encode("utf-8").decode("utf-8") == safe


@pytest.mark.parametrize(
    "text",
    [
        "مرحبا\u200f، كيف الحال؟",
        "שלום\u200e 123",
        "क्\u200dष श्री",
        "می\u200cخواهم",
        "👩\u200d👩\u200d👧\u200d👦 👍🏽 🇩🇪 ❤\ufe0f",
        "Zeile 1\n\tZeile 2\n",
        "a\u00a0b\u3000c \u00ad",
    ],
    ids=["arabic", "hebrew", "hindi", "persian", "emoji", "layout", "blanks"],
)
def test_writing_of_people_is_unchanged(text: str) -> None:
    assert safe_text(text) == text


def test_line_has_no_breaks_of_any_kind() -> None:
    assert safe_line(" a\r\nb\u2028c\td\x85e\x0bf ") == "a b c d e f"
