"""Owns the choice of a splitter: by token ids where the vocabulary allows it, else by text.

All of them take a token and the text it completes, so that the session need not know which it has.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from localr1.chat.harmony import HarmonySplitter
from localr1.chat.reasoning import Piece, ThinkSplitter, TokenSplitter
from localr1.chat.thinking_format import HARMONY, ThinkingFormat


class PieceSplitter(Protocol):
    """Tokens in, pieces of thought and answer out."""

    @property
    def opened(self) -> bool:
        """Thinking was open at some time."""
        ...

    @property
    def closed(self) -> bool:
        """Thinking was open and is over."""
        ...

    @property
    def is_thinking(self) -> bool:
        """Text that comes now is thought."""
        ...

    def feed(self, token_id: int, text: str) -> list[Piece]:
        """What is certain after this token."""
        ...

    def finish(self) -> list[Piece]:
        """What was held back."""
        ...


def make_splitter(
    known: ThinkingFormat | None, special_tokens: Mapping[str, int], *, starts_in_thinking: bool
) -> PieceSplitter:
    """The splitter for one reply."""
    if known is None:
        return _Plain()
    if known is HARMONY and "<|channel|>" in special_tokens and "<|message|>" in special_tokens:
        return HarmonySplitter(special_tokens)
    open_id, close_id = (special_tokens.get(tag) for tag in (known.open_tag, known.close_tag))
    splitter: PieceSplitter
    if open_id is None or close_id is None:
        splitter = _ByText(ThinkSplitter(known.open_tag, known.close_tag, starts_in_thinking))
    else:
        splitter = TokenSplitter(open_id, close_id, starts_in_thinking)
    return _Unframed(splitter, *known.answer_frame) if known.answer_frame else splitter


class _Plain:
    """Everything is answer."""

    opened = closed = is_thinking = False

    def feed(self, token_id: int, text: str) -> list[Piece]:
        return [("answer", text)] if text else []

    def finish(self) -> list[Piece]:
        return []


class _ByText:
    """A text splitter that is handed tokens."""

    def __init__(self, splitter: ThinkSplitter) -> None:
        self._splitter = splitter

    @property
    def opened(self) -> bool:
        return self._splitter.opened

    @property
    def closed(self) -> bool:
        return self._splitter.closed

    @property
    def is_thinking(self) -> bool:
        return self._splitter.is_thinking

    def feed(self, token_id: int, text: str) -> list[Piece]:
        return self._splitter.feed(text)

    def finish(self) -> list[Piece]:
        return self._splitter.finish()


class _Unframed:
    """Drops the tags around an answer. Text before, in and after the frame is answer alike."""

    def __init__(self, splitter: PieceSplitter, frame_open: str, frame_close: str) -> None:
        self._splitter = splitter
        self._frame = ThinkSplitter(frame_open, frame_close, starts_in_thinking=False)

    @property
    def opened(self) -> bool:
        return self._splitter.opened

    @property
    def closed(self) -> bool:
        return self._splitter.closed

    @property
    def is_thinking(self) -> bool:
        return self._splitter.is_thinking

    def feed(self, token_id: int, text: str) -> list[Piece]:
        return self._unframe(self._splitter.feed(token_id, text))

    def finish(self) -> list[Piece]:
        rest: list[Piece] = [("answer", text) for _, text in self._frame.finish()]
        return self._unframe(self._splitter.finish()) + rest

    def _unframe(self, pieces: list[Piece]) -> list[Piece]:
        unframed: list[Piece] = []
        for stream, text in pieces:
            if stream == "thinking":
                unframed.append((stream, text))
            else:
                unframed += [("answer", inner) for _, inner in self._frame.feed(text)]
        return unframed
