"""Owns the last step of drawing: styled text to strips of exactly so many cells.

Styles are named (".log--heading", "$text-accent") and looked up through a palette, so that nothing
here knows a colour and a change of theme is a new palette. Text is literal: markup is never parsed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from rich.segment import Segment
from textual.content import Content
from textual.strip import Strip
from textual.style import Style

_TAB_CELLS = 4


@dataclass(frozen=True, slots=True)
class Palette:
    """What style names mean in the current theme."""

    base: Style
    look_up: Callable[[Style | str], Style]


def wrap(text: Content, width: int) -> list[Content]:
    """The text in lines of at most `width` cells, broken between words where there are any."""
    return text.expand_tabs(_TAB_CELLS).wrap(max(width, 2))


def fold(text: Content, width: int) -> list[Content]:
    """The text in lines of at most `width` cells, broken anywhere: for code."""
    lines = []
    for line in text.split("\n", allow_blank=True):
        flat = line.expand_tabs(_TAB_CELLS)
        lines.extend([flat] if flat.cell_length <= width else flat.fold(width))
    return lines


def to_strips(lines: Iterable[Content], palette: Palette) -> list[Strip]:
    """Each line as a strip of its own length."""
    return [Strip(_segments(line, palette), line.cell_length) for line in lines]


def draw_plain(text: str, width: int, palette: Palette, *, style: str = "") -> list[Strip]:
    """Wrapped text in one style."""
    return to_strips(wrap(Content.styled(text, style), width), palette)


def _segments(line: Content, palette: Palette) -> list[Segment]:
    parts = line.render(palette.base, end="", parse_style=palette.look_up)
    return [Segment(text, style.rich_style) for text, style in parts if text]
