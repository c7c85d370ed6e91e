"""Owns the line between thought and answer in a stream of model text.

`ThinkSplitter` looks for two tags in text; `TokenSplitter` compares token ids, for models whose
tags are single tokens, so that a tag quoted in prose stays text. Both keep the contract of design
section 3.3: every character except the two tags reaches exactly one stream, nothing is taken back,
the result does not depend on how the text was cut, and the end flushes. They trim nothing:
newlines around tags are dropped by whoever draws, because blanks there can be an indented code
block.

What counts as a tag, in both:
- the opening tag only as the first thing of a reply (blanks may precede it), once;
- the closing tag only while thinking, the first one.
Any other occurrence is text, so a model that thinks twice or talks about tags loses nothing.
"""

from __future__ import annotations

from typing import Literal

Stream = Literal["thinking", "answer"]
Piece = tuple[Stream, str]


class _State:
    """Where a reply stands; what both splitters share."""

    def __init__(self, *, starts_in_thinking: bool) -> None:
        self.opened = starts_in_thinking
        """Thinking was open at some time: in the prompt already, or by the model."""
        self.closed = False
        """The closing tag has come."""
        self._leading = True
        """Nothing but blanks so far: an opening tag may still come."""

    @property
    def is_thinking(self) -> bool:
        """Text that comes now is thought."""
        return self.opened and not self.closed

    def _pieces(self, text: str) -> list[Piece]:
        if not text:
            return []
        return [("thinking" if self.is_thinking else "answer", text)]


class ThinkSplitter(_State):
    """Splits text at a pair of tags; holds back at most the beginning of one tag.

    Raises: ValueError for tags that are empty, begin with a blank, or begin with one another.
    """

    def __init__(self, open_tag: str, close_tag: str, starts_in_thinking: bool) -> None:  # noqa: FBT001 -- the signature of design 3.3
        super().__init__(starts_in_thinking=starts_in_thinking)
        for tag in (open_tag, close_tag):
            if not tag or tag[0].isspace():
                raise ValueError(
                    f"a tag begins with a visible character, this one does not: {tag!r}"
                )
        if open_tag.startswith(close_tag) or close_tag.startswith(open_tag):
            raise ValueError(f"tags must differ in their beginning: {open_tag!r}, {close_tag!r}")
        self._open_tag = open_tag
        self._close_tag = close_tag
        self._held = ""

    def feed(self, text: str) -> list[Piece]:
        """Split the next piece of a reply; returns what is certain, in order."""
        text, self._held = self._held + text, ""
        pieces: list[Piece] = []
        if self._leading:
            text = self._feed_leading(text, pieces)
        if self._leading:
            return pieces
        return pieces + (self._feed_thinking(text) if self.is_thinking else self._pieces(text))

    def finish(self) -> list[Piece]:
        """Give out what was held back: the reply ended inside what looked like a tag."""
        text, self._held = self._held, ""
        return self._pieces(text)

    def _feed_leading(self, text: str, pieces: list[Piece]) -> str:
        """Consume blanks and one opening tag; returns the rest once the beginning is over."""
        rest = text.lstrip()
        pieces += self._pieces(text[: len(text) - len(rest)])
        if rest.startswith(self._open_tag):
            self._leading = False
            self.opened = True
            return rest[len(self._open_tag) :]
        if self._open_tag.startswith(rest):  # also when nothing is left
            self._held = rest
        else:
            self._leading = False
        return rest

    def _feed_thinking(self, text: str) -> list[Piece]:
        thought, tag, answer = text.partition(self._close_tag)
        if tag:
            pieces = self._pieces(thought)
            self.closed = True
            return pieces + self._pieces(answer)
        n_held = _overlap(text, self._close_tag)
        self._held = text[len(text) - n_held :]
        return self._pieces(text[: len(text) - n_held])


class TokenSplitter(_State):
    """Splits by token id. A tag's token is dropped whole, also when it is rendered as no text."""

    def __init__(self, open_id: int, close_id: int, starts_in_thinking: bool) -> None:  # noqa: FBT001 -- like ThinkSplitter
        super().__init__(starts_in_thinking=starts_in_thinking)
        self._open_id = open_id
        self._close_id = close_id

    def feed(self, token_id: int, text: str) -> list[Piece]:
        """Split one token with the text it completes. Nothing is ever held back."""
        if token_id == self._open_id and self._leading:
            self._leading = False
            self.opened = True
            return []
        if token_id == self._close_id and self.is_thinking:
            self._leading = False
            self.closed = True
            return []
        self._leading = self._leading and not text.strip()
        return self._pieces(text)

    def finish(self) -> list[Piece]:
        """Nothing: there is nothing held back."""
        return []


def _overlap(text: str, tag: str) -> int:
    """Length of the longest end of `text` that is a true beginning of `tag`."""
    for length in range(min(len(text), len(tag) - 1), 0, -1):
        if tag.startswith(text[-length:]):
            return length
    return 0
