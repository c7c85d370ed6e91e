"""Owns when the engine speaks: tokens that come quickly share a frame.

Every frame wakes the parent, which on a small machine takes a core away from the decoder. Tokens
wait for company, but never longer than a person could notice.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from localr1.worker.channel import Channel
from localr1.worker.frames import TokenPiece
from localr1.worker.protocol import to_json

_MAX_WAIT_S = 0.025


class Outbox:
    """What the child sends. Belongs to the engine's main thread."""

    def __init__(self, channel: Channel, clock: Callable[[], float] = time.monotonic) -> None:
        self._channel = channel
        self._clock = clock
        self._pieces: list[TokenPiece] = []
        self._request = 0
        self._flushed_s = 0.0
        self._last_s = 0.0

    def send(self, type_: str, request: int, **fields: Any) -> None:
        """Send a message now, after any tokens that wait."""
        self._flush()
        self._channel.send({"type": type_, "request": request, **fields})

    def send_piece(self, request: int, piece: TokenPiece) -> None:
        """Send a token now, or with the next one if that is expected in time."""
        now_s = self._clock()
        step_s, self._last_s = now_s - self._last_s, now_s
        self._request = request
        self._pieces.append(piece)
        if now_s + step_s - self._flushed_s > _MAX_WAIT_S:
            self._flush()
            self._flushed_s = now_s

    def _flush(self) -> None:
        if self._pieces:
            pieces, self._pieces = self._pieces, []
            self._channel.send(
                {"type": "pieces", "request": self._request, "pieces": to_json(pieces)}
            )
