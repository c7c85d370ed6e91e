"""A terminal that is not one: text streams that say what `isatty` should say."""

from __future__ import annotations

import io


class FakeStream(io.StringIO):
    """Collects what is written; claims to be a terminal if told so."""

    def __init__(self, *, is_terminal: bool = False) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


class TextInput(io.TextIOWrapper):
    """Bytes on stdin, through a pipe."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data), encoding="utf-8")
