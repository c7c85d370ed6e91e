"""Owns the bytes between parent and child: frames, the protocol's version, and one JSON codec.

A frame is a four-byte big-endian length and that many bytes of UTF-8 JSON, always one object with
a `type`. Sizes are bounded before anything is allocated. Dataclasses cross as plain objects keyed
by field name and are checked against their annotations on arrival; nothing is ever unpickled.
docs/worker-protocol.md lists the messages.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import struct
import types
import typing
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Literal, TypeVar

PROTOCOL_VERSION = 1
MAX_FRAME_BYTES = 32 * 1024**2  # a prompt of a million tokens is about 5 MiB of text

Message = dict[str, Any]
T = TypeVar("T")

_LENGTH = struct.Struct(">I")
_Decoder = Callable[[Any], Any]


class FrameError(ValueError):
    """The other side sent something that is not a frame of this protocol."""


def encode_frame(message: Mapping[str, Any]) -> bytes:
    """The message as one frame.

    Raises: FrameError if it is larger than MAX_FRAME_BYTES or holds an infinite number.
    """
    try:
        # ASCII escapes carry lone surrogates, which file names and broken input contain
        payload = json.dumps(message, separators=(",", ":"), allow_nan=False).encode("ascii")
    except ValueError as exc:
        raise FrameError(f"a message cannot be JSON: {exc}") from exc
    if len(payload) > MAX_FRAME_BYTES:
        raise FrameError(f"a message of {len(payload)} bytes exceeds {MAX_FRAME_BYTES}")
    return _LENGTH.pack(len(payload)) + payload


class FrameDecoder:
    """Cuts a byte stream, arriving in any pieces, into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """The messages completed by this data.

        Raises: FrameError at the first frame that is too long, not JSON or not an object with
        a `type`; the stream is useless from there on.
        """
        self._buffer += data
        messages = []
        start = 0
        while len(self._buffer) - start >= _LENGTH.size:
            (n_bytes,) = _LENGTH.unpack_from(self._buffer, start)
            if n_bytes > MAX_FRAME_BYTES:
                raise FrameError(f"a frame claims {n_bytes} bytes, allowed are {MAX_FRAME_BYTES}")
            end = start + _LENGTH.size + n_bytes
            if len(self._buffer) < end:
                break
            messages.append(_parse(bytes(self._buffer[start + _LENGTH.size : end])))
            start = end
        del self._buffer[:start]
        return messages


def _parse(payload: bytes) -> Message:
    try:
        message = json.loads(payload)
    except (ValueError, RecursionError) as exc:
        raise FrameError(f"a frame is not JSON: {exc}") from exc
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise FrameError("a frame is not an object with a type")
    return message


def to_json(value: Any) -> Any:
    """A dataclass, enum or container of them as plain JSON values."""
    if dataclasses.is_dataclass(value):
        return {name: to_json(getattr(value, name)) for name in _field_names(value.__class__)}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if isinstance(value, dict):
        return {key: to_json(item) for key, item in value.items()}
    return value


def from_json(cls: type[T], data: Any) -> T:
    """The inverse of `to_json`: an instance of the dataclass `cls`, checked field by field.

    Raises: FrameError for a missing or unknown field, or a value of the wrong type.
    """
    value: T = _decoder_of(cls)(data)
    return value


@functools.cache
def _field_names(cls: Any) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(cls))


_decoders: dict[Any, _Decoder] = {}


def _decoder_of(hint: Any) -> _Decoder:
    """The function that checks and converts one annotation; built once per type."""
    if hint not in _decoders:
        _decoders[hint] = _build_decoder(hint)
    return _decoders[hint]


def _build_decoder(hint: Any) -> _Decoder:
    if dataclasses.is_dataclass(hint):
        return _dataclass_decoder(hint)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _enum_decoder(hint)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return _literal_decoder(arguments)
    if origin is types.UnionType or origin is typing.Union:
        (inner,) = [argument for argument in arguments if argument is not type(None)]
        return _optional_decoder(_decoder_of(inner))
    if origin is tuple:
        return _tuple_decoder(_decoder_of(arguments[0]))
    if origin is dict:
        return _dict_decoder(_decoder_of(arguments[1]))
    return _scalar_decoder(hint)


def _dataclass_decoder(cls: Any) -> _Decoder:
    hints = typing.get_type_hints(cls)
    decoders = {name: _decoder_of(hints[name]) for name in _field_names(cls)}

    def decode(data: Any) -> Any:
        if not isinstance(data, dict) or data.keys() != decoders.keys():
            raise FrameError(f"not the fields of {cls.__name__}")
        return cls(**{name: decoder(data[name]) for name, decoder in decoders.items()})

    return decode


def _enum_decoder(cls: type[Enum]) -> _Decoder:
    def decode(data: Any) -> Any:
        try:
            return cls(data)
        except ValueError as exc:
            raise FrameError(f"not a {cls.__name__}: {data!r:.40}") from exc

    return decode


def _literal_decoder(choices: tuple[Any, ...]) -> _Decoder:
    def decode(data: Any) -> Any:
        if not isinstance(data, str) or data not in choices:
            raise FrameError(f"none of {choices}: {data!r:.40}")
        return data

    return decode


def _optional_decoder(inner: _Decoder) -> _Decoder:
    return lambda data: None if data is None else inner(data)


def _tuple_decoder(item: _Decoder) -> _Decoder:
    def decode(data: Any) -> Any:
        if not isinstance(data, list):
            raise FrameError("not a list")
        return tuple([item(value) for value in data])

    return decode


def _dict_decoder(value_of: _Decoder) -> _Decoder:
    def decode(data: Any) -> Any:
        if not isinstance(data, dict):
            raise FrameError("not an object")
        return {key: value_of(value) for key, value in data.items()}

    return decode


def _scalar_decoder(cls: type) -> _Decoder:
    def decode(data: Any) -> Any:
        if cls is float and type(data) is int:
            return float(data)
        # bool is an int to isinstance, but not to us
        if type(data) is not cls:
            raise FrameError(f"not a {cls.__name__}: {data!r:.40}")
        return data

    return decode
