"""Owns the rows of a scrolling log: pieces drawn once and kept, and one live tail.

A piece keeps its strips until the width or the theme changes; then it goes on showing them, wrong
as they are, until its turn to be drawn again comes. So neither a long conversation nor a resize
makes one frame expensive. Rows are found by bisection over the pieces' first rows.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field

from textual.strip import Strip

Draw = Callable[[int], list[Strip]]
"""Draws a piece at a width in cells."""

_STALE = -1


@dataclass(slots=True)
class Piece:
    """Rows that belong together."""

    draw: Draw
    cost: int
    """Roughly how long drawing takes, in characters."""
    strips: list[Strip] = field(default_factory=list)
    width: int = _STALE

    def redraw(self, width: int) -> None:
        """Draw at the width, unless it is drawn so already."""
        if self.width != width:
            self.strips = self.draw(width)
            self.width = width


@dataclass(frozen=True, slots=True)
class Place:
    """A row that survives a redraw: the piece and the row within it."""

    index: int
    row: int


class Flow:
    """Pieces above each other; the tail comes last."""

    def __init__(self) -> None:
        self._pieces: list[Piece] = []
        self._starts: list[int] = []
        self._height = 0
        self._stale: set[int] = set()
        self._tail: Piece | None = None

    @property
    def height(self) -> int:
        """Rows, tail included."""
        return self._height + (len(self._tail.strips) if self._tail else 0)

    @property
    def is_empty(self) -> bool:
        """No piece has been added."""
        return not self._pieces

    @property
    def frozen_height(self) -> int:
        """Rows above the tail."""
        return self._height

    @property
    def is_settled(self) -> bool:
        """Every piece is drawn at the current width."""
        return not self._stale

    def append(self, piece: Piece, width: int) -> None:
        """Add a finished piece above the tail; at width 0 it is drawn when there is one."""
        if width:
            piece.redraw(width)
        else:
            self._stale.add(len(self._pieces))
        self._starts.append(self._height)
        self._pieces.append(piece)
        self._height += len(piece.strips)

    def set_tail(self, piece: Piece | None, width: int) -> None:
        """Draw this at the end, in place of the tail before."""
        self._tail = piece
        if piece is not None:
            piece.redraw(width)

    def row(self, y: int) -> Strip | None:
        """The strip at a row; None below the last one."""
        if y >= self._height:
            tail = self._tail.strips if self._tail else []
            return tail[y - self._height] if y - self._height < len(tail) else None
        index = bisect_right(self._starts, y) - 1
        return self._pieces[index].strips[y - self._starts[index]]

    def place_of(self, y: int) -> Place:
        """The place at a row."""
        if y >= self._height or not self._pieces:
            return Place(len(self._pieces), y - self._height)
        index = bisect_right(self._starts, y) - 1
        return Place(index, y - self._starts[index])

    def row_of(self, place: Place) -> int:
        """The row at which the place is now."""
        if place.index >= len(self._pieces):
            return self._height + place.row
        n_rows = len(self._pieces[place.index].strips)
        return self._starts[place.index] + min(place.row, max(n_rows - 1, 0))

    def invalidate(self) -> None:
        """Width or theme have changed: every piece must be drawn again."""
        self._stale = set(range(len(self._pieces)))
        for piece in self._pieces:
            piece.width = _STALE
        if self._tail is not None:
            self._tail.width = _STALE

    def redraw_around(self, y: int, n_rows: int, width: int) -> None:
        """Draw the tail and what is on screen: `n_rows` rows from row y on."""
        first, last = self.place_of(y).index, self.place_of(y + n_rows).index
        self._redraw([i for i in range(first, last + 1) if i in self._stale], width)
        if self._tail is not None:
            self._tail.redraw(width)

    def redraw_some(self, budget: int, width: int) -> None:
        """Draw stale pieces, the latest first, until about `budget` characters are done."""
        chosen = []
        for index in sorted(self._stale, reverse=True):
            chosen.append(index)
            budget -= self._pieces[index].cost
            if budget <= 0:
                break
        self._redraw(chosen, width)

    def _redraw(self, indices: list[int], width: int) -> None:
        for index in indices:
            self._pieces[index].redraw(width)
            self._stale.discard(index)
        if indices:
            self._height = 0
            for index, piece in enumerate(self._pieces):
                self._starts[index] = self._height
                self._height += len(piece.strips)
