"""Owns stop strings: where an answer ends because the user said so.

Only the answer is searched; a stop string inside a thought would leave no answer at all. What
could still become a stop string is held back, never more than one character less than the longest.
"""

from __future__ import annotations

from collections.abc import Iterable


class StopMatcher:
    """Cuts a stream of text before the first stop string in it, however the stream is cut up."""

    def __init__(self, stops: Iterable[str]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""
        self.matched = ""
        """The stop string that ended the answer; empty while there is none."""

    def feed(self, text: str) -> str:
        """What may be shown of the text so far and was not yet; empty after a match."""
        if self.matched:
            return ""
        text, self._held = self._held + text, ""
        hit = min(
            ((end, stop) for stop in self._stops if (end := _end_of(stop, text)) is not None),
            default=None,
        )
        if hit is not None:
            end, _ = hit
            # several may end here: the longest hides the most
            self.matched = max((s for s in self._stops if text[:end].endswith(s)), key=len)
            return text[: end - len(self.matched)]
        n_held = max((_n_begun(stop, text) for stop in self._stops), default=0)
        self._held = text[len(text) - n_held :]
        return text[: len(text) - n_held]

    def finish(self) -> str:
        """What was held back, when the stream ended without a match."""
        text, self._held = self._held, ""
        return text


def _end_of(stop: str, text: str) -> int | None:
    start = text.find(stop)
    return None if start < 0 else start + len(stop)


def _n_begun(stop: str, text: str) -> int:
    """Length of the longest end of `text` that begins `stop`."""
    lengths = range(min(len(stop) - 1, len(text)), 0, -1)
    return next((n for n in lengths if stop.startswith(text[-n:])), 0)
