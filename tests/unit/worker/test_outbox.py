from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from localr1.worker.channel import Channel
from localr1.worker.frames import TokenPiece
from localr1.worker.outbox import Outbox


class _Wire:
    """An outbox, its clock, and what comes out at the other end."""

    def __init__(self) -> None:
        left, right = socket.socketpair()
        self._ours, self._theirs = Channel(left), Channel(right)
        self.now_s = 10.0
        self.outbox = Outbox(self._ours, lambda: self.now_s)

    def piece(self, token: int, *, after_s: float) -> None:
        self.now_s += after_s
        self.outbox.send_piece(1, TokenPiece(id=token, text=chr(token)))

    def arrived(self) -> list[Any]:
        messages = []
        while (message := self._theirs.receive(0)) is not None:
            pieces = [piece["id"] for piece in message.get("pieces", [])]
            messages.append(pieces or message["type"])
        return messages

    def close(self) -> None:
        self._ours.close()
        self._theirs.close()


@pytest.fixture
def wire() -> Iterator[_Wire]:
    wire = _Wire()
    yield wire
    wire.close()


def test_first_token_is_sent_at_once(wire: _Wire) -> None:
    wire.piece(65, after_s=0.0)

    assert wire.arrived() == [[65]]


def test_slow_tokens_go_one_by_one(wire: _Wire) -> None:
    for token in (65, 66, 67):
        wire.piece(token, after_s=0.03)

    assert wire.arrived() == [[65], [66], [67]]


def test_quick_tokens_share_frames(wire: _Wire) -> None:
    for token in range(65, 75):
        wire.piece(token, after_s=0.005)

    groups = wire.arrived()

    assert groups[0] == [65]
    assert max(len(group) for group in groups) > 1
    assert len(groups) < 5


def test_any_other_message_takes_waiting_tokens_along_first(wire: _Wire) -> None:
    wire.piece(65, after_s=0.0)
    wire.piece(66, after_s=0.001)

    wire.outbox.send("end", 1)

    assert wire.arrived() == [[65], [66], "end"]
