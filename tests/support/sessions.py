"""Sessions over scripted engines, with a clock that only counts."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from datetime import UTC, datetime

from localr1.chat.reducer import Turn, reduce
from localr1.chat.session import ChatSession, SessionOptions
from localr1.events import Event
from tests.support.fake_engine import FakeEngine, FakeOpener, Script
from tests.support.templates import InlineRenderer

GOOD = Script.of("8 * 3", " = 24", "</think>", "\n\n", "36")
NOW = datetime(2025, 1, 20, tzinfo=UTC)


def a_session(
    *engines: FakeEngine,
    opener: FakeOpener | None = None,
    options: SessionOptions | None = None,
) -> ChatSession:
    ticks = itertools.count()
    return ChatSession(
        opener or FakeOpener(*engines),
        options,
        renderer=InlineRenderer(),
        clock=lambda: float(next(ticks)),
        now=lambda: NOW,
    )


def fold(events: Iterable[Event]) -> Turn:
    turn = Turn()
    for event in events:
        turn = reduce(turn, event)
    return turn
