"""Owns gpt-oss's channels: messages with a header each, of which some are thought.

    <|channel|>analysis<|message|> ... <|end|><|start|>assistant<|channel|>final<|message|> ...

`analysis` is thought, `final` is the answer, `commentary` without a recipient speaks to the user,
and with one it is a tool call, which is not text. Headers are control text and reach no stream. All
markers are single tokens and are compared by id, so that a marker quoted in prose stays text.
"""

from __future__ import annotations

from collections.abc import Mapping

from localr1.chat.reasoning import Piece, Stream

_OPENS_HEADER = frozenset({"<|start|>", "<|channel|>", "<|constrain|>"})
_CLOSES_MESSAGE = frozenset({"<|end|>", "<|return|>", "<|call|>"})
_OPENS_BODY = "<|message|>"
MARKERS = _OPENS_HEADER | _CLOSES_MESSAGE | {_OPENS_BODY}


class HarmonySplitter:
    """Splits a stream of channel messages; what `TokenSplitter` is to a pair of tags.

    `special_tokens` maps texts to ids and must hold `<|channel|>` and `<|message|>`.
    """

    def __init__(self, special_tokens: Mapping[str, int]) -> None:
        self._marker_of = {special_tokens[text]: text for text in MARKERS if text in special_tokens}
        self._stream: Stream | None = "answer"  # lenient: a reply without any header
        self._header: str | None = None
        self.opened = False
        self.closed = False

    @property
    def is_thinking(self) -> bool:
        """The newest message is thought; the header after it still belongs to it."""
        return self.opened and not self.closed

    def feed(self, token_id: int, text: str) -> list[Piece]:
        """Split one token with the text it completes."""
        marker = self._marker_of.get(token_id)
        if marker is not None:
            self._turn(marker)
            return []
        if self._header is not None:
            self._header += text
            return []
        return [(self._stream, text)] if text and self._stream else []

    def finish(self) -> list[Piece]:
        """Nothing: an unfinished header is no text."""
        return []

    def _turn(self, marker: str) -> None:
        if marker == _OPENS_BODY:
            self._begin(self._header or "")
        elif self._header is None:
            self._header = ""
        else:
            self._header += " "

    def _begin(self, header: str) -> None:
        """A message's text begins; its header says whose it is."""
        self._header = None
        if "analysis" in header:
            self._stream = "thinking"
            self.opened = True
            self.closed = False
        elif "to=" in header:
            self._stream = None
        else:
            self._stream = "answer"
            self.closed = self.opened
