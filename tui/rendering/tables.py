"""Owns tables: columns as wide as they need to be, narrowed when the pane is, cards when too many.

A table that does not fit is never cut off: cells wrap, and below six cells per column each row
becomes a list of "header: value" lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from textual.content import Content

from tui.rendering.strips import wrap

_GAP = "  "
_MIN_COLUMN = 6

Row = Sequence[Content]


def draw_table(rows: Sequence[Row], width: int) -> list[Content]:
    """The rows, the first of which is the header, in at most `width` cells."""
    header, *body = rows
    n_columns = max(len(header), 1)
    if (width + len(_GAP)) // n_columns < _MIN_COLUMN + len(_GAP):
        return _draw_cards(header, body, width)
    natural = [max(cell.cell_length for cell in column) for column in _columns(rows)]
    widths = _narrow(natural, width - len(_GAP) * (n_columns - 1))
    rule = _GAP.join("─" * column for column in widths)
    lines = _draw_row([cell.stylize("bold") for cell in header], widths)
    lines.append(Content.styled(rule, ".log--marker"))
    for row in body:
        lines.extend(_draw_row(row, widths))
    return lines


def _columns(rows: Sequence[Row]) -> list[tuple[Content, ...]]:
    return list(zip_longest(*rows, fillvalue=Content("")))


def _narrow(natural: Sequence[int], room: int) -> list[int]:
    """Column widths that fill `room` at most; the widest columns give way first."""
    widths = [max(column, 1) for column in natural]
    while sum(widths) > room:
        widest = max(widths)
        runner_up = max((column for column in widths if column < widest), default=1)
        n_widest = widths.count(widest)
        excess = sum(widths) - room
        cut = max(min(widest - runner_up, -(-excess // n_widest)), 1)
        widths = [column - cut if column == widest else column for column in widths]
    return widths


def _draw_row(row: Row, widths: Sequence[int]) -> list[Content]:
    cells = [wrap(cell, column) for cell, column in zip(row, widths, strict=False)]
    lines = []
    for parts in zip_longest(*cells, fillvalue=Content("")):
        padded = [
            part.pad_right(max(column - part.cell_length, 0))
            for part, column in zip(parts, widths, strict=False)
        ]
        lines.append(Content(_GAP).join(padded).rstrip())
    return lines


def _draw_cards(header: Row, body: Sequence[Row], width: int) -> list[Content]:
    lines: list[Content] = []
    for row in body:
        if lines:
            lines.append(Content(""))
        for name, value in zip(header, row, strict=False):
            lines.extend(wrap(name.stylize("bold") + Content(": ") + value, width))
    return lines
