"""Owns how many tokens a text is to a model: counted by its tokenizer, or estimated without one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from localr1.documents.estimate import Count, estimated
from localr1.errors import EngineError
from localr1.terminal_text import safe_line
from localr1.worker.process import ChildProcess
from localr1.worker.protocol import FrameError, Message

_STALL_S = 60.0
_CLOSE_ENOUGH = 0.005  # of the tokens wanted
_MAX_ROUNDS = 12


class TokenCounter:
    """Counts for one model, inside a `with` block; a child is started for the first text.

    `tokenizer` is a GGUF or a checkpoint's directory; None where neither is there.
    """

    def __init__(self, tokenizer: Path | None) -> None:
        self._tokenizer = tokenizer
        self._child: ChildProcess | None = None
        self.why_estimated = "" if tokenizer else "the model's tokenizer is not here"
        """Empty as long as counts are exact."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.close()
            self._child.log_path.unlink(missing_ok=True)

    def count(self, text: str) -> Count:
        """Tokens of a text, control tokens of the conversation apart."""
        if not self.why_estimated:
            try:
                return Count.exact(self._counted(text))
            except (EngineError, FrameError, _RefusedError) as exc:
                self.why_estimated = f"the model's tokenizer cannot be used: {safe_line(str(exc))}"
        return estimated(text)

    def first(self, text: str, n_tokens: int) -> str:
        """The beginning of a text that is at most so many tokens, short of them by a little."""
        return longest_start(text, n_tokens, lambda start: self.count(start).highest)

    def _counted(self, text: str) -> int:
        if self._child is None:
            self._child = ChildProcess.start(
                "localr1.documents.token_count_child", name="token counter"
            )
        path = "" if self._tokenizer is None else str(self._tokenizer.absolute())
        self._child.send({"type": "count", "tokenizer": path, "text": text})
        return _number_in(self._child.receive_while_alive(_STALL_S))


class _RefusedError(Exception):
    """The child is well, but cannot count."""


def _number_in(reply: Message) -> int:
    match reply:
        case {"type": "counted", "n_tokens": int(n_tokens)}:
            return n_tokens
    raise _RefusedError(str(reply.get("reason", "the counter spoke nonsense")))


@dataclass(frozen=True, slots=True)
class _Start:
    n_chars: int
    n_tokens: int


def longest_start(text: str, n_tokens: int, count: Callable[[str], int]) -> str:
    """The longest beginning of a text with at most `n_tokens`, found by asking a few times.

    Between a beginning that is short enough and one that is not, tokens are taken to be spread
    evenly. Where they are not, the result is a little short.
    """
    fits, is_over = _Start(0, 0), _Start(len(text), count(text))
    if is_over.n_tokens <= n_tokens:
        return text
    for _ in range(_MAX_ROUNDS):
        share = (n_tokens - fits.n_tokens) / (is_over.n_tokens - fits.n_tokens)
        n_chars = fits.n_chars + int(share * (is_over.n_chars - fits.n_chars))
        middle = _Start(n_chars, count(text[:n_chars]))
        if middle.n_tokens > n_tokens:
            is_over = middle
            continue
        is_close = n_tokens - middle.n_tokens <= _CLOSE_ENOUGH * n_tokens
        is_stuck = middle.n_chars == fits.n_chars
        fits = middle
        if is_close or is_stuck:
            break
    return text[: fits.n_chars]
