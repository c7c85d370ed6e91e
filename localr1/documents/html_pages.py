"""Owns the visible text of HTML pages, through Python's own lenient parser. For the child."""

from __future__ import annotations

import itertools
import re
from html.parser import HTMLParser
from pathlib import Path

from localr1.documents.decoding import decoded_page
from localr1.documents.document import Extracted
from localr1.errors import DocumentError

_MAX_BYTES = 64 * 1024**2
# their end tags cannot be left out, so that what is hidden ends where it should
_NEVER_SHOWN = frozenset({"script", "style", "template", "noscript", "svg"})
_CAN_BE_HIDDEN = frozenset({"div", "span", "section", "article", "aside", "nav", "details", "ul"})
_HIDDEN_STYLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_BLOCKS = frozenset(
    {
        *("address", "article", "aside", "blockquote", "br", "caption", "dd", "div", "dl", "dt"),
        *("figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header"),
        *("hr", "li", "main", "nav", "ol", "option", "p", "pre", "section", "table", "title"),
        *("tr", "ul"),
    }
)
_BLANKS = re.compile(r"[ \t\n\r\f]+")


def read_html(path: Path) -> Extracted:
    """What a browser without styles and scripts would show. Raises: DocumentError."""
    with path.open("rb") as file:
        content = file.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise DocumentError(f"is too long: a page of more than {_MAX_BYTES // 1024**2} MiB")
    page = _Page()
    page.feed(decoded_page(content, path.name))
    page.close()
    return Extracted(text=_tidied("".join(page.parts)))


class _Page(HTMLParser):
    """Collects text outside of what is hidden."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._hidden_by = ""
        self._depth = 0
        self._n_pre = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._hidden_by:
            self._depth += tag == self._hidden_by
            return
        if tag in _NEVER_SHOWN or (tag in _CAN_BE_HIDDEN and _is_hidden(dict(attrs))):
            self._hidden_by, self._depth = tag, 1
            return
        self._n_pre += tag == "pre"
        self._separate(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if not self._hidden_by:
            self._separate(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._hidden_by:
            self._depth -= tag == self._hidden_by
            if not self._depth:
                self._hidden_by = ""
            return
        self._n_pre = max(self._n_pre - (tag == "pre"), 0)
        self._separate(tag)

    def handle_data(self, data: str) -> None:
        if not self._hidden_by:
            self.parts.append(data if self._n_pre else self._on_this_line(data))

    def _on_this_line(self, data: str) -> str:
        text = _BLANKS.sub(" ", data)
        is_first = not self.parts or self.parts[-1].endswith(("\n", "\t"))
        return text.lstrip(" ") if is_first else text

    def _separate(self, tag: str) -> None:
        if tag in _BLOCKS:
            self.parts.append("\n")
        elif tag in {"td", "th"}:
            self.parts.append("\t")


def _tidied(text: str) -> str:
    """Without blanks at the ends of lines, and with one empty line where there were several."""
    lines = (line.rstrip() for line in text.split("\n"))
    runs = itertools.groupby(lines, key=bool)
    return "\n".join(
        line for is_full, run in runs for line in (run if is_full else itertools.islice(run, 1))
    ).strip("\n")


def _is_hidden(attributes: dict[str, str | None]) -> bool:
    return "hidden" in attributes or bool(_HIDDEN_STYLE.search(attributes.get("style") or ""))
