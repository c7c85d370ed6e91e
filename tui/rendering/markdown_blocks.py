"""Owns where a growing Markdown text may be cut into blocks that never change again.

Only the last block of a Markdown text depends on what comes next, provided that whole lines are
looked at ("# " is a heading until "#x" makes it a word). So all blocks but the last are frozen,
list items one by one, open code fences at a blank line after 40 lines: the part that is laid out
again for every frame stays small however long the answer grows. A cut depends on the text alone,
never on how it arrived, so a streamed answer looks like one that came in one piece.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markdown_it import MarkdownIt
from markdown_it.token import Token

_CODE_LINES_SOFT = 40  # cut an open fence at the first blank line after so many lines ...
_CODE_LINES_HARD = 80  # ... and here at the latest

# References would let a later line change an earlier block; HTML stays text.
PARSER = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
PARSER.disable(["reference", "html_block", "html_inline"])


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of Markdown that can be drawn on its own."""

    source: str
    continues: bool = False
    """The first line only stands for what came before, the opening of a fence or a list item:
    it gives the rest its meaning and is not drawn."""


@dataclass(frozen=True, slots=True)
class _Start:
    """The first line of a block, and the line to put before it."""

    line: int
    prefix: str = ""


class BlockSplitter:
    """Cuts an append-only Markdown text into frozen blocks and a live tail."""

    def __init__(self) -> None:
        self._prefix = ""
        self._rest = ""

    @property
    def tail(self) -> Block:
        """What may still change; drawn again for every frame."""
        return Block(self._prefix + self._rest, continues=bool(self._prefix))

    def feed(self, text: str) -> list[Block]:
        """The blocks that this text has completed. The text must have gone through `safe_text`."""
        self._rest += text
        if "\n" not in text:
            return []
        n_whole = self._rest.rfind("\n") + 1
        return self._freeze(self._rest[:n_whole], self._rest[n_whole:], keeps_last=True)

    def finish(self) -> list[Block]:
        """The blocks that are left; the splitter is empty afterwards."""
        return self._freeze(self._rest, "", keeps_last=False) if self._rest else []

    def _freeze(self, whole: str, partial: str, *, keeps_last: bool) -> list[Block]:
        lines = (self._prefix + whole).split("\n")
        if not lines[-1]:
            lines.pop()
        starts = list(_starts(lines))
        if not starts:
            return []
        starts[0] = _Start(0)  # leading blank lines belong to the first block
        if self._prefix and len(starts) > 1 and starts[1].line == 1:
            del starts[1]  # the stand-in item and the item it introduces are one block
        blocks = []
        for start, end in zip(starts, [*starts[1:], _Start(len(lines))], strict=True):
            source = start.prefix + "".join(f"{line}\n" for line in lines[start.line : end.line])
            prefix = start.prefix if start.line else self._prefix
            blocks.append(Block(source, continues=bool(prefix)))
        if not keeps_last:
            self._prefix = self._rest = ""
            return blocks
        last = blocks.pop()
        if blocks:
            self._prefix = starts[-1].prefix
            self._rest = last.source[len(self._prefix) :] + partial
        return blocks


def _starts(lines: Sequence[str]) -> Iterator[_Start]:
    """Where blocks begin: top-level blocks, items of top-level lists, stretches of long code."""
    tokens: list[Token] = []
    PARSER.block.parse("\n".join(lines) + "\n", PARSER, {}, tokens)
    prefix = ""
    n_items = 0
    first_number = 1
    for token in tokens:
        if token.map is None or token.level > 1 or token.nesting < 0:
            continue
        if token.level == 0:
            n_items = 0
            first_number = int(token.attrs.get("start", 1))
            if token.type == "fence":
                yield from _code_starts(token, lines)
            elif not token.type.endswith("list_open"):
                yield _Start(token.map[0])
        elif token.type == "list_item_open":
            marker = token.markup
            if token.info:
                marker = f"{max(first_number + n_items - 1, 0)}{token.markup}"
            prefix = f"{marker} x\n" if n_items else ""
            yield _Start(token.map[0], prefix)
            n_items += 1


def _code_starts(fence: Token, lines: Sequence[str]) -> Iterator[_Start]:
    """A fence, cut by the number of its lines alone: whether it is closed does not matter."""
    first = fence.map[0] if fence.map else 0
    yield _Start(first)
    n_since_cut = 0
    for index in range(fence.content.count("\n")):
        n_since_cut += 1
        line = first + 1 + index
        is_cut = n_since_cut >= _CODE_LINES_SOFT and not lines[line].strip()
        if is_cut or n_since_cut >= _CODE_LINES_HARD:
            yield _Start(line + 1, lines[first] + "\n")
            n_since_cut = 0
