r"""Owns what a block of Markdown looks like: headings, lists, code, quotes, tables, inline styles.

Deliberate departures from CommonMark, for text that a model wrote for a person: a line break stays
a line break, `\(...\)`, `\[...\]` and `$$...$$` are kept as they are (Markdown would eat the
backslashes of a formula), links show their address and are never live.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from markdown_it.rules_inline import StateInline
from markdown_it.tree import SyntaxTreeNode
from textual.content import Content, Span
from textual.highlight import highlight
from textual.strip import Strip

from tui.rendering.markdown_blocks import PARSER, Block
from tui.rendering.strips import Palette, fold, to_strips, wrap
from tui.rendering.tables import draw_table

_MAX_LINE_TO_HIGHLIGHT = 2000  # minified code: some lexers take time that grows with its square
_BULLETS = "•◦▪"
_INLINE_STYLES: Final = {
    "strong": "bold",
    "em": "italic",
    "s": "strike",
    "code_inline": ".log--code-inline",
    "math": ".log--math",
    "link": "underline",
}
_MATH = re.compile(r"\\\(.+?\\\)|\\\[.+?\\\]|\$\$.+?\$\$", re.DOTALL)


def _math(state: StateInline, silent: bool) -> bool:  # noqa: FBT001 - markdown-it's signature
    """Formulas are taken out of the hands of the other rules."""
    if state.src[state.pos] not in "\\$":
        return False
    match = _MATH.match(state.src, state.pos)
    if match is None:
        return False
    if not silent:
        state.push("math", "", 0).content = match.group()
    state.pos = match.end()
    return True


PARSER.inline.ruler.before("escape", "math", _math)


def draw_markdown(block: Block, width: int, palette: Palette) -> list[Strip]:
    """The block as strips of at most `width` cells."""
    nodes = SyntaxTreeNode(PARSER.parse(block.source)).children
    return to_strips(_draw_all(nodes, width, continues=block.continues), palette)


def _draw_all(
    nodes: Sequence[SyntaxTreeNode], width: int, *, continues: bool = False
) -> list[Content]:
    lines: list[Content] = []
    for index, node in enumerate(nodes):
        if lines:
            lines.append(Content(""))
        lines.extend(_draw(node, width, continues=continues and index == 0))
    return lines


def _draw(node: SyntaxTreeNode, width: int, *, continues: bool = False) -> list[Content]:
    match node.type:
        case "heading":
            level = min(int(node.tag[1:]), 3)
            return wrap(_inline(node).stylize(f".log--heading-{level}"), width)
        case "paragraph":
            return wrap(_inline(node), width)
        case "fence" | "code_block":
            return _draw_code(node, width)
        case "bullet_list" | "ordered_list":
            return _draw_list(node, width, skips_first=continues)
        case "blockquote":
            quoted = _draw_all(node.children, max(width - 2, 2))
            bar = Content.styled("▌ ", ".log--marker")
            return [bar + line.stylize_before(".log--quote") for line in quoted]
        case "hr":
            return [Content.styled("─" * width, ".log--marker")]
        case "table":
            rows = [row for part in node.children for row in part.children]
            return draw_table([[_inline(cell) for cell in row.children] for row in rows], width)
    return wrap(Content(node.content), width)


def _draw_code(node: SyntaxTreeNode, width: int) -> list[Content]:
    code = node.content.removesuffix("\n")
    if not code:
        return []
    language = node.info.split()[0].lower() if node.info.split() else "text"
    if max(map(len, code.split("\n"))) > _MAX_LINE_TO_HIGHLIGHT:
        language = "text"
    lines = fold(highlight(code, language=language, tab_size=4), max(width - 2, 2))
    return [_on_code_background(line, width) for line in lines]


def _on_code_background(line: Content, width: int) -> Content:
    n_blanks = max(width - 1 - line.cell_length, 0)
    return line.pad(1, n_blanks).stylize_before(".log--code")


def _draw_list(node: SyntaxTreeNode, width: int, *, skips_first: bool) -> list[Content]:
    is_ordered = node.type == "ordered_list"
    first = int(node.attrs.get("start", 1))
    bullet = _BULLETS[min(node.level // 2, len(_BULLETS) - 1)]
    lines: list[Content] = []
    for index, item in enumerate(node.children):
        if skips_first and index == 0:
            continue
        marker = f"{first + index}. " if is_ordered else f"{bullet} "
        lines.extend(_draw_item(item, marker, width))
    return lines


def _draw_item(item: SyntaxTreeNode, marker: str, width: int) -> list[Content]:
    inner = max(width - len(marker), 2)
    body = [line for child in item.children for line in _draw(child, inner)] or [Content("")]
    head = Content.styled(marker, ".log--marker") + body[0]
    return [head, *(Content(" " * len(marker)) + line for line in body[1:])]


def _inline(node: SyntaxTreeNode) -> Content:
    """The inline children of a block as one styled text."""
    parts: list[str] = []
    spans: list[Span] = []
    offset = 0
    for child in node.children:
        offset = _collect(child, parts, spans, offset)
    return Content("".join(parts), spans)


def _collect(node: SyntaxTreeNode, parts: list[str], spans: list[Span], start: int) -> int:
    """Append the node's text and styles; the offset after it."""
    offset = start
    match node.type:
        case "softbreak" | "hardbreak":
            own = "\n"
        case "image":
            own = f"{node.content} ({node.attrs.get('src', '')})"
        case _:
            own = "" if node.children else node.content
    if own:
        parts.append(own)
        offset += len(own)
    else:
        for child in node.children:
            offset = _collect(child, parts, spans, offset)
    if style := _INLINE_STYLES.get(node.type):
        spans.append(Span(start, offset, style))
    if node.type == "link":
        offset = _add_address(str(node.attrs.get("href", "")), parts, offset)
    return offset


def _add_address(address: str, parts: list[str], offset: int) -> int:
    if not address or parts[-1:] == [address]:
        return offset
    shown = f" ({address})"
    parts.append(shown)
    return offset + len(shown)
