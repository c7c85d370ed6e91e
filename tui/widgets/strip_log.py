"""Owns a scrolling log of strips: it shows a `Flow`, follows its end, and stays out of the way.

The line API draws only the rows on screen, and a frame repaints only the rows that changed. While
following, the page stays still and is turned by half when it is full: text that scrolls line by
line cannot be read and costs four times the bytes. Scrolling up stops following; End resumes.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import ClassVar

from rich.cells import cell_len
from textual.events import Resize
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip
from textual.style import Style

from localr1.terminal_text import safe_text
from tui.rendering.flow import Flow, Piece
from tui.rendering.streams import Stream
from tui.rendering.strips import Palette

_REDRAW_BUDGET = 6000  # characters drawn again per slice after a resize: some 10 ms
_REDRAW_PAUSE_S = 0.02


class StripLog(ScrollView, can_focus=True):
    """A log to which finished pieces and one live stream are added at the end."""

    ALLOW_SELECT = True
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "log--heading-1",
        "log--heading-2",
        "log--heading-3",
        "log--code",
        "log--code-inline",
        "log--math",
        "log--quote",
        "log--marker",
        "log--user",
        "log--footer",
        "log--notice",
        "log--error",
        "log--hint",
        "log--thought",
    }

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._flow = Flow()
        self._stream: Stream | None = None
        self._is_dirty = False
        self._is_shown = False
        self._is_following = True
        self._scrolls_itself = False
        self._drawn_width = 0
        self._painted_rows: list[Strip] = []
        self._painted_from = 0
        self._styles: dict[Style | str, Style] = {}

    @property
    def is_following(self) -> bool:
        """Whether new text keeps the end in view."""
        return self._is_following

    @property
    def is_streaming(self) -> bool:
        """A text is growing at the end."""
        return self._stream is not None

    @property
    def is_settled(self) -> bool:
        """Everything is drawn as it will stay."""
        return not self._is_dirty and self._flow.is_settled

    @property
    def is_empty(self) -> bool:
        """Nothing has been added."""
        return self._flow.is_empty

    @property
    def text(self) -> str:
        """Every row as it is drawn."""
        strips = (self._flow.row(y) for y in range(self._flow.height))
        return "\n".join(strip.text.rstrip() for strip in strips if strip is not None)

    def palette(self) -> Palette:
        """What style names mean here and now."""
        return Palette(self.visual_style, self._look_up)

    def append(self, piece: Piece) -> None:
        """Add a finished piece above the live tail."""
        self._flow.append(piece, self._width)
        self._is_dirty = True

    def start(self, stream: Stream) -> None:
        """From now on `feed` goes to this stream."""
        self.finish()
        self._stream = stream

    def feed(self, text: str) -> None:
        """More of the text; drawn with the next `paint`."""
        if self._stream is not None:
            for piece in self._stream.feed(safe_text(text)):
                self.append(piece)
            self._is_dirty = True

    def finish(self) -> None:
        """The stream has ended: what is left of it is final, and the page settles at its end."""
        if self._stream is not None:
            for piece in self._stream.finish():
                self.append(piece)
            self._stream = None
            self._is_dirty = True

    def clear(self) -> None:
        """Forget everything."""
        self._flow = Flow()
        self._stream = None
        self._painted_rows = []
        self._painted_from = 0
        self.follow()
        self.refresh()

    def follow(self) -> None:
        """Go to the end and stay there."""
        self._is_following = True
        self._go_to(max(self._flow.height - self.size.height, 0))

    def paint(self) -> None:
        """Bring the screen up to date: draw the tail, repaint the rows that changed."""
        if not (self._is_dirty and self._is_shown and self._width):
            return
        self._is_dirty = False
        self._flow.set_tail(self._stream.tail() if self._stream else None, self._width)
        self._repaint_changed_rows()
        self._keep_end_in_view()

    def _repaint_changed_rows(self) -> None:
        start = self._painted_from
        rows = [self._flow.row(y) or Strip([]) for y in range(start, self._flow.height)]
        changed = [
            start + index
            for index, (old, new) in enumerate(zip_longest(self._painted_rows, rows))
            if old != new
        ]
        if changed:
            self.refresh_lines(changed[0], changed[-1] - changed[0] + 1)
        self._painted_from = self._flow.frozen_height
        self._painted_rows = rows[self._painted_from - start :]

    def _keep_end_in_view(self) -> None:
        top, page = self.scroll_offset.y, self.size.height
        if self._is_following and self._stream is None:
            top = max(self._flow.height - page, 0)
        elif self._is_following and self._flow.height > top + page:
            top = self._flow.height - page // 2  # turn the page
        self._go_to(top)

    def _go_to(self, top: int) -> None:
        """Scroll so that this row is the first; rows below the end are blank."""
        n_rows = max(self._flow.height, top + self.size.height if self._flow.height else 0)
        self._scrolls_itself = True
        self.virtual_size = Size(self._width, n_rows)
        self.scroll_to(y=top, animate=False)
        self._scrolls_itself = False

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """The user has scrolled, unless we did, or the page grew beyond the old position."""
        super().watch_scroll_y(old_value, new_value)
        was_clamped = old_value > self.max_scroll_y
        if self._scrolls_itself or was_clamped or round(old_value) == round(new_value):
            return
        is_at_end = new_value + self.size.height >= self._flow.height
        self._is_following = new_value > old_value and is_at_end

    def action_scroll_end(self) -> None:
        """The End key."""
        self.follow()

    def render_line(self, y: int) -> Strip:
        """One row of the screen."""
        row = y + self.scroll_offset.y
        strip = self._flow.row(row) or Strip([])
        selection = self.text_selection
        if selection is not None and (span := selection.get_span(row)) is not None:
            strip = self._highlight(strip, *span)
        strip = strip.crop_extend(0, self._width, self.rich_style)
        return strip.apply_offsets(0, row)

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """The selected text, for the copy key."""
        return selection.extract(self.text), "\n"

    def selection_updated(self, selection: Selection | None) -> None:
        """The mouse has selected something else."""
        self.refresh()

    def _highlight(self, strip: Strip, start: int, end: int) -> Strip:
        text = strip.text
        first = cell_len(text[:start])
        last = strip.cell_length if end < 0 else cell_len(text[:end])
        style = self.screen.get_component_rich_style("screen--selection")
        before, chosen, after = strip.divide([first, last, max(strip.cell_length, last)])
        return Strip.join([before, chosen.apply_style(style), after])

    def on_mount(self) -> None:
        """A theme changes every style."""
        self.app.theme_changed_signal.subscribe(self, lambda _: self._redraw_all())

    def on_show(self) -> None:
        """Draw what arrived while nobody looked."""
        self._is_shown = True
        self._redraw()

    def on_hide(self) -> None:
        """Hidden means not drawn."""
        self._is_shown = False

    def on_resize(self, event: Resize) -> None:
        """Another width wraps every line anew; another height only moves the end."""
        if self._width != self._drawn_width:
            self._redraw_all()
        else:
            self._redraw()

    @property
    def _width(self) -> int:
        return self.scrollable_content_region.width if self._is_shown else 0

    def _redraw_all(self) -> None:
        self._styles.clear()
        self._flow.invalidate()
        self._redraw()

    def _redraw(self) -> None:
        """Draw stale pieces, what is on screen first, keeping the reader's place."""
        if not self._width:
            return
        self._drawn_width = self._width
        place = self._flow.place_of(self.scroll_offset.y)
        self._flow.redraw_around(self.scroll_offset.y, self.size.height, self._width)
        self._flow.redraw_some(_REDRAW_BUDGET, self._width)
        self._painted_from, self._painted_rows = self._flow.frozen_height, []
        if self._is_following:
            self.follow()
        else:
            self._go_to(self._flow.row_of(place))
        self._is_dirty = True
        self.paint()
        self.refresh()
        if not self._flow.is_settled:
            self.set_timer(_REDRAW_PAUSE_S, self._redraw)

    def _look_up(self, style: Style | str) -> Style:
        """A component class (".log--code") or a style of Textual's ("$text-accent bold")."""
        if isinstance(style, Style):
            return style
        found = self._styles.get(style)
        if found is None:
            is_class = style.startswith(".")
            found = (
                self.get_visual_style(style[1:], partial=True) if is_class else Style.parse(style)
            )
            self._styles[style] = found
        return found
