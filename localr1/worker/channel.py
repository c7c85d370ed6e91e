"""Owns one end of the socket between parent and child: whole messages in, whole messages out.

Both sides use it. Sending is thread-safe; receiving belongs to one thread at a time. The socket
never blocks by itself, so that every wait has a deadline.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from localr1.worker.protocol import FrameDecoder, Message, encode_frame

_CHUNK_BYTES = 64 * 1024


class Channel:
    """Messages over a connected stream socket. Owns the socket."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._send_lock = threading.Lock()
        self._decoder = FrameDecoder()
        self._arrived: deque[Message] = deque()
        self._readable = _poller(sock, select.POLLIN)
        self._writable = _poller(sock, select.POLLOUT)

    def send(self, message: Mapping[str, Any], *, timeout_s: float | None = None) -> None:
        """Send one message, waiting for room if the other side is slow. Thread-safe.

        Raises: EOFError if the other side is gone, TimeoutError if it does not read; after that
        the stream is cut in the middle of a frame and of no more use.
        """
        self.send_frames(encode_frame(message), timeout_s=timeout_s)

    def send_frames(self, frames: bytes, *, timeout_s: float | None = None) -> None:
        """Send frames that are encoded already; several in one call cost one wake-up."""
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        rest = memoryview(frames)
        with self._send_lock:
            while rest:
                try:
                    rest = rest[self._socket.send(rest) :]
                except BlockingIOError:
                    if not self._wait(self._writable, deadline_s):
                        raise TimeoutError("the other side does not read") from None
                except OSError as exc:
                    raise EOFError("the other side is gone") from exc

    def receive(self, timeout_s: float | None = None) -> Message | None:
        """The next message, or None when `timeout_s` passed without one.

        Raises: EOFError if the other side is gone, FrameError if it sent nonsense.
        """
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        while not self._arrived:
            try:
                data = self._socket.recv(_CHUNK_BYTES)
            except BlockingIOError:
                if not self._wait(self._readable, deadline_s):
                    return None
                continue
            except OSError as exc:
                raise EOFError("the other side is gone") from exc
            if not data:
                raise EOFError("the other side is gone")
            self._arrived += self._decoder.feed(data)
        return self._arrived.popleft()

    def close(self) -> None:
        """Close the socket; the other side sees end of file."""
        self._socket.close()

    @staticmethod
    def _wait(poller: select.poll, deadline_s: float | None) -> bool:
        if deadline_s is None:
            poller.poll()
            return True
        left_s = deadline_s - time.monotonic()
        return left_s > 0 and bool(poller.poll(left_s * 1000))


def _poller(sock: socket.socket, event: int) -> select.poll:
    poller = select.poll()
    poller.register(sock, event)
    return poller
