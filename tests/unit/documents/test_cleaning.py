from __future__ import annotations

import pytest

from localr1.documents.cleaning import cleaned


@pytest.mark.parametrize(
    ("text", "seen", "n_taken"),
    [
        pytest.param("a\u202eb\u2066c", "abc", 2, id="bidirectional overrides"),
        pytest.param("pass\u200bword\ufeff", "password", 2, id="zero width"),
        pytest.param("Hi\U000e0049\U000e0067\U000e006e!", "Hi!", 3, id="a sentence in tags"),
        pytest.param("\x1b[31mred\x07", "[31mred", 2, id="escape sequences"),
        pytest.param("co\u00adoperate", "cooperate", 1, id="soft hyphen"),
    ],
)
def test_what_nobody_sees_is_taken_out_and_counted(text: str, seen: str, n_taken: int) -> None:
    assert cleaned(text) == (seen, n_taken)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("می\u200cخواهم \u200f", id="Persian, joiner and mark"),
        pytest.param("क्\u200dष", id="Hindi joiner"),
        pytest.param("👩\u200d💻 ❤\ufe0f", id="joined emoji"),
        pytest.param(
            "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", id="flag"
        ),
        pytest.param("a\tb\nc", id="tab and newline"),
    ],
)
def test_what_scripts_and_emoji_are_written_with_stays(text: str) -> None:
    assert cleaned(text) == (text, 0)


def test_ends_of_lines_become_newlines_and_halves_of_characters_are_replaced() -> None:
    assert cleaned("a\r\nb\rc\fd\u2028e\ud83d") == ("a\nb\nc\nd\ne\ufffd", 0)
