"""A damaged tokenizer.model ends in one typed line, whatever the damage."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant.errors import CheckpointDamagedError, QuantError, UnsupportedError
from quant.vocabulary.sentencepiece_model import read_pieces
from tests.support.checkpoint_families import SENTENCEPIECE, write_family
from tests.support.checkpoint_refusals import refusal

_WHOLE = (SENTENCEPIECE / "tokenizer.model").read_bytes()
_BPE = b"\x12\x02\x18\x02"
_PIECE = b"\x0a\x08\x0a\x01a\x15\x00\x00\x00\x00"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no pieces"),
        (_BPE, "no pieces"),
        (b"\x0a\xff\xff\xff\xff\x0f", "longer than the message"),
        (b"\xff" * 12, "has no end"),
        (b"\x0b", "wire type 3"),
        (b"\x0a\x04\x0a\x02\xff\xfe" + _BPE, "utf-8"),
        (b"\x0a\x02\x18\x07" + _BPE, "type 7"),
        (b"\x0a\x05\x15\x00\x00\xc0\x7f" + _BPE, "score nan"),
        (b"\x0a\x03\x12\x01a" + _BPE, "4 bytes"),
    ],
)
def test_a_damaged_model_is_refused_by_name(content: bytes, words: str, tmp_path: Path) -> None:
    source = write_family("mistral", tmp_path)
    (source / "tokenizer.model").write_bytes(content)

    error = refusal(source, tmp_path)

    assert isinstance(error, CheckpointDamagedError)
    assert words in error.message
    assert "tokenizer.model" in error.message


def test_a_model_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.model"
    path.write_bytes(_PIECE)

    with pytest.raises(UnsupportedError, match="type BPE"):
        read_pieces(path)


@given(
    position=st.integers(0, len(_WHOLE) - 1),
    value=st.integers(0, 255),
    n_bytes=st.integers(1, 64),
)
def test_any_change_gives_pieces_or_a_typed_error(
    position: int, value: int, n_bytes: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "tokenizer.model"
    path.write_bytes(_WHOLE[:position] + bytes([value]) * n_bytes + _WHOLE[position + n_bytes :])

    try:
        pieces = read_pieces(path)
    except QuantError:
        return
    assert pieces
