from __future__ import annotations

import pytest

from localr1.documents.decoding import decoded, decoded_page
from localr1.errors import DocumentError

_TEXT = "Grüße, 世界 🙂"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_text_comes_out_whatever_its_byte_order_mark(encoding: str) -> None:
    assert decoded(_TEXT.encode(encoding), "a.txt") == _TEXT


def test_utf_16_that_begins_with_the_high_byte_is_read() -> None:
    assert decoded(b"\xfe\xff" + _TEXT.encode("utf-16-be"), "a.txt") == _TEXT


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"caf\xe9", "not UTF-8 text: byte 0xe9 at position 3", id="Latin-1"),
        pytest.param(b"\xff\xfea\x00\x00\xd8", "not UTF-16 text", id="half a pair"),
        pytest.param(b"\x00\x01\xff", "binary data", id="bytes"),
        pytest.param(b"ab\x00cd", "binary data", id="NUL in ASCII"),
    ],
)
def test_what_is_no_text_is_refused_in_one_line(content: bytes, message: str) -> None:
    with pytest.raises(DocumentError, match=message) as error:
        decoded(content, "a.txt")

    assert error.value.message.startswith("a.txt ")
    assert error.value.hint


def test_a_page_may_declare_an_older_encoding() -> None:
    source = '<meta charset="windows-1252">Grüße €'

    assert decoded_page(source.encode("windows-1252"), "a.html") == source
    assert decoded_page(source.encode("utf-8"), "a.html") == source


def test_a_page_cannot_declare_a_codec_that_is_no_text_encoding() -> None:
    with pytest.raises(DocumentError):
        decoded_page(b'<meta charset="zlib">\xff', "a.html")
