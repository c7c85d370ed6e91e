"""Owns how a text that grows becomes pieces: the answer as Markdown, the thought as plain text.

Both readers have the same two methods; whatever they return is final.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from textual.strip import Strip

from tui.rendering.flow import Piece
from tui.rendering.markdown import draw_markdown
from tui.rendering.markdown_blocks import Block, BlockSplitter
from tui.rendering.strips import Palette, draw_plain

_LONG_LINE = (
    2000  # a thought without line breaks is cut at the first blank after so many characters
)

CurrentPalette = Callable[[], Palette]
"""Asked at every drawing: the theme may have changed since."""


class Stream(Protocol):
    """A text that grows."""

    def feed(self, text: str) -> list[Piece]:
        """The pieces that this text has finished."""
        ...

    def tail(self) -> Piece | None:
        """What may still change."""
        ...

    def finish(self) -> list[Piece]:
        """What is left, now final."""
        ...


class MarkdownStream:
    """An answer, with a blank row above every block."""

    def __init__(self, palette: CurrentPalette) -> None:
        self._palette = palette
        self._splitter = BlockSplitter()

    def feed(self, text: str) -> list[Piece]:
        """The pieces that this text has finished."""
        return [self._piece(block) for block in self._splitter.feed(text)]

    def tail(self) -> Piece | None:
        """What may still change."""
        block = self._splitter.tail
        return self._piece(block) if block.source.strip() else None

    def finish(self) -> list[Piece]:
        """What is left, now final."""
        return [self._piece(block) for block in self._splitter.finish()]

    def _piece(self, block: Block) -> Piece:
        def draw(width: int) -> list[Strip]:
            strips = draw_markdown(block, width, self._palette())
            return [Strip([]), *strips] if strips and not block.continues else strips

        return Piece(draw, len(block.source))


class PlainStream:
    """A thought: the text as it is, without the blank lines around it."""

    def __init__(self, palette: CurrentPalette, *, style: str = "") -> None:
        self._palette = palette
        self._style = style
        self._rest = ""
        self._is_first = True

    def feed(self, text: str) -> list[Piece]:
        """The pieces that this text has finished."""
        self._rest += text
        if self._is_first:
            self._rest = self._rest.lstrip("\n")
        pieces = []
        while (line := self._next_line()) is not None:
            pieces.append(self._piece(line))
            self._is_first = False
        return pieces

    def tail(self) -> Piece | None:
        """What may still change."""
        rest = self._rest.rstrip("\n")
        return self._piece(rest) if rest else None

    def finish(self) -> list[Piece]:
        """What is left, now final."""
        tail = self.tail()
        self._rest = ""
        return [tail] if tail else []

    def _next_line(self) -> str | None:
        """Take the first line off, if it is complete; line breaks at the end are held back."""
        line, _, after = self._rest.partition("\n")
        if len(line) > _LONG_LINE:
            blank = line.find(" ", _LONG_LINE, 2 * _LONG_LINE)
            if blank >= 0 or len(line) >= 2 * _LONG_LINE:
                cut = blank + 1 if blank >= 0 else 2 * _LONG_LINE
                self._rest = self._rest[cut:]
                return line[:cut]
        if not after.strip("\n"):
            return None
        self._rest = after
        return line

    def _piece(self, text: str) -> Piece:
        def draw(width: int) -> list[Strip]:
            return draw_plain(text, width, self._palette(), style=self._style)

        return Piece(draw, len(text))
