from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.device import Device, DeviceKind
from backends.parameters import EngineParameters
from localr1.worker.frames import (
    EngineInfo,
    GenerateRequest,
    GenerationEnd,
    LoadReport,
    MeasuredBuffer,
    PrefillProgress,
    Sampling,
    Segment,
    TokenPiece,
)
from localr1.worker.protocol import (
    MAX_FRAME_BYTES,
    FrameDecoder,
    FrameError,
    encode_frame,
    from_json,
    to_json,
)

_TYPES: list[Any] = [
    Device,
    EngineInfo,
    EngineParameters,
    GenerateRequest,
    GenerationEnd,
    LoadReport,
    MeasuredBuffer,
    PrefillProgress,
    Sampling,
    Segment,
    TokenPiece,
]

_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
_messages = st.dictionaries(st.text(), _json).map(lambda fields: {**fields, "type": "x"})

st.register_type_strategy(float, st.floats(allow_nan=False, allow_infinity=False))


@given(st.data())
def test_every_dataclass_survives_the_wire(data: st.DataObject) -> None:
    cls = data.draw(st.sampled_from(_TYPES))
    value = data.draw(st.from_type(cls))

    (message,) = FrameDecoder().feed(encode_frame({"type": "x", "body": to_json(value)}))

    assert from_json(cls, message["body"]) == value


@given(st.lists(_messages), st.lists(st.integers(1, 40)))
def test_frames_arrive_whole_however_the_stream_is_cut(
    messages: list[dict[str, Any]], cuts: list[int]
) -> None:
    stream = b"".join(encode_frame(message) for message in messages)
    decoder = FrameDecoder()
    arrived = []
    for size in [*cuts, len(stream)]:
        arrived += decoder.feed(stream[:size])
        stream = stream[size:]

    assert arrived == messages


@given(st.binary())
def test_any_bytes_give_messages_or_a_frame_error(data: bytes) -> None:
    try:
        messages = FrameDecoder().feed(data)
    except FrameError:
        return

    assert all(isinstance(message["type"], str) for message in messages)


@given(st.sampled_from(_TYPES), _json)
def test_any_json_gives_a_value_or_a_frame_error(cls: Any, data: Any) -> None:
    try:
        value = from_json(cls, data)
    except FrameError:
        return

    assert isinstance(value, cls)


@given(st.sampled_from(_TYPES), st.data())
def test_missing_and_unknown_fields_are_refused(cls: Any, data: st.DataObject) -> None:
    fields = to_json(data.draw(st.from_type(cls)))
    name = data.draw(st.sampled_from(sorted(fields)))

    with pytest.raises(FrameError):
        from_json(cls, {key: value for key, value in fields.items() if key != name})
    with pytest.raises(FrameError):
        from_json(cls, {**fields, "surplus": 1})


def test_numbers_keep_their_type() -> None:
    fields = to_json(TokenPiece(id=1, text="x"))

    for wrong in (True, 1.0, "1", None):
        with pytest.raises(FrameError):
            from_json(TokenPiece, {**fields, "id": wrong})


def test_enum_arrives_as_enum() -> None:
    device = Device("CPU", DeviceKind.CPU, "", 1, 1)

    assert from_json(Device, to_json(device)).kind is DeviceKind.CPU


def test_lone_surrogates_of_file_names_survive() -> None:
    (message,) = FrameDecoder().feed(encode_frame({"type": "x", "path": "a\udcffb"}))

    assert message["path"] == "a\udcffb"


def test_message_over_the_limit_is_not_sent() -> None:
    with pytest.raises(FrameError):
        encode_frame({"type": "x", "text": "a" * MAX_FRAME_BYTES})
