"""Owns the flag that stops the engine's native work, and which request it is meant for.

A cancel may arrive before its request has begun, or after it has ended; neither may stop another
one. Requests are numbered upwards, and a cancel covers all up to its number.
"""

from __future__ import annotations

import ctypes
import threading


class Interrupt:
    """`backends.native.AbortFlag`: set by the reader thread, read by native code."""

    def __init__(self) -> None:
        # a C string of zero or one characters; strlen of it is the abort callback
        self._flag = ctypes.create_string_buffer(2)
        self._lock = threading.Lock()
        self._current = 0
        self._cancelled_up_to = 0

    @property
    def address(self) -> int:
        """Where the two bytes are."""
        return ctypes.addressof(self._flag)

    @property
    def is_set(self) -> bool:
        """Whether the current request should stop."""
        return self._flag[0] != b"\0"

    def begin(self, request: int) -> None:
        """A request becomes the current one; it may have been cancelled already."""
        with self._lock:
            self._current = request
            self._flag[0] = b"\1" if request <= self._cancelled_up_to else b"\0"

    def cancel(self, request: int) -> None:
        """Stop this request and any before it."""
        with self._lock:
            self._cancelled_up_to = max(self._cancelled_up_to, request)
            if self._current <= request:
                self._flag[0] = b"\1"
