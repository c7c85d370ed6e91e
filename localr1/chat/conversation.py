"""Owns what a skin may ask of a conversation, so that every skin and every fake looks alike.

The real one is `localr1.chat.session.ChatSession`. Methods that yield events block the calling
thread between events; `stop` may be called from any other thread. None of them raises a
`LocalR1Error`: failures arrive as an `error` event followed by `end` with state `failed`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from localr1.events import Event


class Conversation(Protocol):
    """One model, one history."""

    @property
    def title(self) -> str:
        """The model's name for people."""
        ...

    def open(self) -> Iterator[Event]:
        """Start the engine and load the model: `progress`, `notice`, then `load`.

        When the model is loaded already, just the `load` event again, for the next skin.
        """
        ...

    def ask(self, text: str) -> Iterator[Event]:
        """Send a user message and stream the reply; ends with exactly one `end`.

        After a failure the engine is started again by the next call.
        """
        ...

    def stop(self) -> None:
        """Stop the reply that is running; its `ask` ends within 100 ms. Thread-safe."""
        ...

    def listen(self, tell: Callable[[Event], None]) -> None:
        """Let `tell` have what happens between replies: an `error` when the engine has ended.

        It is called from another thread. The next `ask` starts the engine again.
        """
        ...

    def clear(self) -> None:
        """Forget the history. The engine stays loaded."""
        ...

    def close(self) -> None:
        """Stop the engine for good."""
        ...
