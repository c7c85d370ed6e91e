"""Owns the format of `tokenizer.model`: SentencePiece's protobuf message, as far as we need it.

Read here instead of through the library, which is large and native. The fields are those of
sentencepiece_model.proto: 1 pieces (1 text, 2 score, 3 type), 2 trainer (3 model type). Every
length is checked against what is left of the file.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from quant.errors import CheckpointDamagedError, UnsupportedError, unreadable
from quant.source.json_file import MIB

_MAX_BYTES = 64 * MIB
_MAX_PIECES = 2_000_000
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_UNIGRAM, _BPE = 1, 2
_NORMAL, _LAST_TYPE = 1, 6

_Field = tuple[int, int | bytes]
"""Number and value of a field."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A token of the model."""

    text: str
    score: float
    piece_type: int
    """1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte."""


def read_pieces(path: Path) -> list[Piece]:
    """The tokens by id.

    Raises: CheckpointDamagedError if the file is no such message; UnsupportedError for a model
    that is not merged pair by pair, which is all llama.cpp knows for this vocabulary.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise CheckpointDamagedError(f"{path} is larger than {_MAX_BYTES // MIB} MiB")
        content = path.read_bytes()
    except OSError as exc:
        raise unreadable(path, exc) from exc
    try:
        pieces, model_type = _parse(content)
    except (ValueError, struct.error) as exc:  # UnicodeDecodeError is a ValueError
        raise CheckpointDamagedError(f"{path} is no SentencePiece model: {exc}") from exc
    if model_type != _BPE:
        raise UnsupportedError(f"{path}: only SentencePiece models of type BPE are supported")
    return pieces


def _parse(content: bytes) -> tuple[list[Piece], int]:
    pieces: list[Piece] = []
    model_type = _UNIGRAM
    for number, value in _fields(content):
        if number == 1 and isinstance(value, bytes):
            pieces.append(_piece(value))
            if len(pieces) > _MAX_PIECES:
                raise ValueError(f"over {_MAX_PIECES:,} pieces")
        elif number == 2 and isinstance(value, bytes):
            for option, setting in _fields(value):
                if option == 3 and isinstance(setting, int):
                    model_type = setting
    if not pieces:
        raise ValueError("it has no pieces")
    return pieces, model_type


def _piece(message: bytes) -> Piece:
    text, score, piece_type = "", 0.0, _NORMAL
    for number, value in _fields(message):
        if number == 1 and isinstance(value, bytes):
            text = value.decode()
        elif number == 2 and isinstance(value, bytes):
            score = struct.unpack("<f", value)[0]
        elif number == 3 and isinstance(value, int):
            piece_type = value
    if not _NORMAL <= piece_type <= _LAST_TYPE or not abs(score) < float("inf"):
        raise ValueError(f"the piece {text[:40]!r} has type {piece_type} and score {score}")
    return Piece(text, score, piece_type)


def _fields(message: bytes) -> Iterator[_Field]:
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, position = _varint(message, position)
            yield number, value
            continue
        if wire == _BYTES:
            length, position = _varint(message, position)
        elif wire in {_FIXED64, _FIXED32}:
            length = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"field {number} has the wire type {wire}")
        if length > len(message) - position:
            raise ValueError(f"field {number} is longer than the message")
        yield number, message[position : position + length]
        position += length


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(message):
            break
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("a number has no end")
