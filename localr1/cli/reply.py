"""Owns a reply on the command line: events to the skin, Ctrl-C to the engine, an exit code back."""

from __future__ import annotations

import signal
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager

from localr1.chat.conversation import Conversation
from localr1.cli.linear import LinearSkin
from localr1.events import Event


def run_reply(conversation: Conversation, skin: LinearSkin, events: Iterable[Event]) -> int:
    """Show all events and return the exit code they stand for.

    The first Ctrl-C stops the reply, and what was said stays; a second one interrupts the program.
    """
    exit_code = 0
    try:
        with _stops_on_interrupt(conversation):
            for event in events:
                exit_code = skin.show(event) or exit_code
    finally:
        if isinstance(events, Generator):
            events.close()  # a reply that cannot be shown must not go on
    return exit_code


@contextmanager
def _stops_on_interrupt(conversation: Conversation) -> Iterator[None]:
    def stop(_signum: int, _frame: object) -> None:
        signal.signal(signal.SIGINT, before)
        conversation.stop()

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
