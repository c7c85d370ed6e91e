from __future__ import annotations

import struct

import pytest

from localr1.worker.protocol import MAX_FRAME_BYTES, FrameDecoder, FrameError


def _frame(payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + payload


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"not json",
        b"[]",
        b"1",
        b"null",
        b"{}",
        b'{"type": 1}',
        b'{"type": "x"',
        b'\xff\xfe{"type": "x"}',
        b"[" * 100_000,
        b'{"type": "x", "n": ' + b"9" * 10_000 + b"}",
    ],
    ids=lambda payload: repr(payload[:20]),
)
def test_nonsense_is_a_frame_error(payload: bytes) -> None:
    with pytest.raises(FrameError):
        FrameDecoder().feed(_frame(payload))


def test_size_is_refused_before_the_bytes_arrive() -> None:
    with pytest.raises(FrameError, match="claims"):
        FrameDecoder().feed(struct.pack(">I", MAX_FRAME_BYTES + 1))


def test_frame_of_the_largest_size_is_awaited() -> None:
    assert FrameDecoder().feed(struct.pack(">I", MAX_FRAME_BYTES)) == []
