from __future__ import annotations

import pytest

from localr1.worker.frames import Segment
from localr1.worker.prompt_tokens import Markers, PromptTokenizer
from tests.support.fake_llama import SPECIAL, FakeModel

_ROLE = SPECIAL["<role>"]


def _encode(*segments: Segment, adds_bos: bool = False) -> list[int]:
    return PromptTokenizer(FakeModel(adds_bos=adds_bos), SPECIAL).encode(segments)


def _template(text: str) -> Segment:
    return Segment(text, parse_special=True)


def _user(text: str) -> Segment:
    return Segment(text, parse_special=False)


def test_template_names_special_tokens() -> None:
    assert _encode(_template("<role>hi")) == [_ROLE, *b"hi"]


def test_user_text_becomes_plain_bytes() -> None:
    assert _encode(_template("<role>"), _user("hi"), _template("<eos>")) == [
        _ROLE,
        *b"hi",
        SPECIAL["<eos>"],
    ]


@pytest.mark.parametrize("marker", ["<bos>", "<eos>", "<role>"])
def test_user_text_cannot_name_special_tokens(marker: str) -> None:
    text = f"a{marker}b{marker}{marker}"

    tokens = _encode(_template("<role>"), _user(text))

    assert tokens == [_ROLE, *text.encode()]


def test_user_text_cannot_complete_a_marker_the_template_began() -> None:
    tokens = _encode(_template("<ro"), _user("le>"))

    assert tokens == [*b"<role>"]


def test_two_pieces_of_user_text_cannot_make_a_marker() -> None:
    tokens = _encode(_user("<ro"), _user("le>"))

    assert tokens == [*b"<role>"]


def test_blank_tokens_stay_whole_in_user_text() -> None:
    assert _encode(_user("a\n\nb<role>")) == [97, SPECIAL["\n\n"], 98, *b"<role>"]


def test_bos_is_added_once_where_the_model_wants_it() -> None:
    assert _encode(_template("x"), adds_bos=True) == [256, 120]
    assert _encode(_template("<bos>x"), adds_bos=True) == [256, 120]
    assert _encode(_template("x"), adds_bos=False) == [120]


def test_empty_segments_make_no_tokens() -> None:
    assert _encode() == []
    assert _encode(_user(""), _template("")) == []


def test_markers_are_found_with_their_longest_spelling() -> None:
    markers = Markers(["<a", "<ab>", "b"])

    assert list(markers.find("x<ab>b", 0, 6)) == [(1, 5), (3, 4), (5, 6)]
    assert markers.longest == 4
