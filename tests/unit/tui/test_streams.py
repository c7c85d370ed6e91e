"""A text that arrives in pieces looks like one that came at once, whatever the pieces."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it.token import Token
from textual.strip import Strip
from textual.style import Style

from tui.rendering.flow import Flow, Piece
from tui.rendering.markdown_blocks import PARSER, Block, BlockSplitter
from tui.rendering.streams import MarkdownStream, PlainStream, Stream
from tui.rendering.strips import Palette

_PALETTE = Palette(
    Style(), lambda style: Style(bold=bool(style)) if isinstance(style, str) else style
)
_FRAGMENTS = [
    "- ", "* ", "1. ", "10. ", "2) ", "a", "b c", "x\n", "\n", "\n\n", "```", "```py\n", "~~~\n",
    "    ", "  ", " ", "\t", "# ", "## h\n", "> ", "|", "a | b\n", "-|-\n", "--|--\n", "---\n",
    "===\n", "[x]: y\n", "[x]", "<div>\n", "**", "*", "`", "\\(", "\\)", "$$", "漢字", "👩‍👩‍👧",
    "x = 1\n" * 50,
]  # fmt: skip
_TEXTS = st.lists(st.sampled_from(_FRAGMENTS), max_size=25).map("".join)
_SIZES = st.lists(st.integers(1, 9), min_size=1, max_size=8)


def _pieces(text: str, sizes: list[int]) -> list[str]:
    pieces: list[str] = []
    start = 0
    while start < len(text):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(text[start : start + size])
        start += size
    return pieces


def _drawn(stream: Stream, pieces: list[str], width: int = 30) -> list[Strip]:
    flow = Flow()
    finished: list[Piece] = []
    for text in pieces:
        finished += stream.feed(text)
        flow.set_tail(stream.tail(), width)  # drawing the tail must not disturb anything
    finished += stream.finish()
    flow.set_tail(None, width)
    for piece in finished:
        flow.append(piece, width)
    return [flow.row(y) or Strip([]) for y in range(flow.height)]


def _markdown() -> Stream:
    return MarkdownStream(lambda: _PALETTE)


def _plain() -> Stream:
    return PlainStream(lambda: _PALETTE)


@given(_TEXTS, _SIZES)
@settings(deadline=None, max_examples=200)
def test_streamed_answer_equals_one_that_came_at_once(text: str, sizes: list[int]) -> None:
    assert _drawn(_markdown(), _pieces(text, sizes)) == _drawn(_markdown(), [text])


@given(_TEXTS, _SIZES)
@settings(deadline=None, max_examples=100)
def test_streamed_thought_equals_one_that_came_at_once(text: str, sizes: list[int]) -> None:
    assert _drawn(_plain(), _pieces(text, sizes)) == _drawn(_plain(), [text])


@given(st.text(alphabet="ab \n漢", max_size=200).map(lambda text: text * 40), _SIZES)
@settings(deadline=None, max_examples=30)
def test_thought_without_line_breaks_is_cut_at_the_same_places(text: str, sizes: list[int]) -> None:
    sizes = [size * 100 for size in sizes]

    assert _drawn(_plain(), _pieces(text, sizes)) == _drawn(_plain(), [text])


@given(_TEXTS, _SIZES)
@settings(deadline=None, max_examples=200)
def test_blocks_are_those_of_a_parser_that_sees_the_whole_text(text: str, sizes: list[int]) -> None:
    splitter = BlockSplitter()

    blocks = [block for piece in _pieces(text, sizes) for block in splitter.feed(piece)]
    blocks += splitter.finish()

    kinds = [kind for block in blocks for kind in _kinds_of(block)]
    assert kinds == _kinds(text)


@given(_TEXTS, _SIZES)
@settings(deadline=None, max_examples=100)
def test_blocks_hold_every_line_of_the_text(text: str, sizes: list[int]) -> None:
    splitter = BlockSplitter()

    blocks = [block for piece in _pieces(text, sizes) for block in splitter.feed(piece)]
    blocks += splitter.finish()

    sources = [
        block.source.partition("\n")[2] if block.continues else block.source for block in blocks
    ]
    assert "".join(sources).rstrip() == text.rstrip()


def _kinds_of(block: Block) -> list[str]:
    kinds = _kinds(block.source)
    return kinds[1:] if block.continues else kinds


def _kinds(text: str) -> list[str]:
    """What the top level of a text is made of, list items one by one."""
    tokens: list[Token] = []
    PARSER.block.parse(text, PARSER, {}, tokens)
    return [
        token.type + token.markup
        for token in tokens
        if token.map is not None
        and token.nesting >= 0
        and (
            (token.level == 0 and not token.type.endswith("list_open"))
            or (token.level == 1 and token.type == "list_item_open")
        )
    ]


@pytest.mark.parametrize("width", [12, 20, 79])
def test_no_row_is_wider_than_the_pane(width: int) -> None:
    text = (
        "# 漢字漢字漢字漢字漢字漢字\n\nword " * 3
        + "\n\n```py\nx = '"
        + "漢字" * 50
        + "'\n```\n"
        + "\n| a | b | c | d |\n|-|-|-|-|\n| 漢字漢字漢字 | x | long cell of words | y |\n"
        + "\n> - quoted\n>   1. nested 👩‍👩‍👧👩‍👩‍👧👩‍👩‍👧👩‍👩‍👧👩‍👩‍👧\n"
    )

    rows = _drawn(_markdown(), [text], width)

    assert max(row.cell_length for row in rows) <= width


def test_long_open_fence_leaves_a_short_tail() -> None:
    splitter = BlockSplitter()

    frozen = splitter.feed("```py\n" + "x = 1\n" * 1000)

    assert len(frozen) >= 12
    assert splitter.tail.source.count("\n") <= 81
    assert splitter.tail.continues


def test_long_list_leaves_one_item_as_tail_and_goes_on_counting() -> None:
    splitter = BlockSplitter()

    frozen = splitter.feed("".join(f"{n}. item\n" for n in range(7, 107)))
    rows = _drawn(_markdown(), ["".join(f"{n}. item\n" for n in range(7, 107))])

    assert len(frozen) == 99
    assert splitter.tail.source == "105. x\n106. item\n"
    assert [row.text.strip() for row in rows if row.text.strip()][-1] == "106. item"
