"""Owns the thread on which the conversation runs, and the queue that brings its events back.

No widget is touched from that thread: the screen drains the queue a few times a second, and what
came in between is joined, so a thousand tokens a second cost no more than one. The thread is a
daemon of our own because Textual joins its workers when it exits, and quitting must never wait for
an engine that hangs.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterable, Iterator
from queue import Empty, SimpleQueue

from localr1.chat.conversation import Conversation
from localr1.errors import EXIT_CODE_OF
from localr1.events import Answer, End, EndState, Error, Event, Progress, Thinking

_CLOSE_TIMEOUT_S = 5.0  # the engine gets SIGTERM and then SIGKILL well within this

_Job = Callable[[], Iterable[Event]]


class Bridge:
    """One conversation, driven from a thread of its own, one job at a time."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._events: SimpleQueue[Event | None] = SimpleQueue()
        self._n_running = 0
        self._error_code = ""
        self.on_news: Callable[[], object] = lambda: None
        """Called, from any thread, when there is something to drain although nothing runs."""
        conversation.listen(self._hear)
        self.exit_code = 0
        """What the last load or reply stands for; the program's, when it ends now."""

    @property
    def is_busy(self) -> bool:
        """A job runs, or its last events have not been drained."""
        return self._n_running > 0

    @property
    def has_events(self) -> bool:
        """Something waits to be drained."""
        return not self._events.empty()

    def open(self) -> None:
        """Load the model."""
        self._start(self._conversation.open)

    def ask(self, text: str) -> None:
        """Send a message; only when not busy."""
        self._start(lambda: self._conversation.ask(text))

    def stop(self) -> None:
        """Stop the load or the reply that is running; returns at once."""
        threading.Thread(target=self._conversation.stop, daemon=True).start()

    def clear(self) -> None:
        """Forget the history; only when not busy."""
        self._conversation.clear()

    def close(self) -> None:
        """Stop what runs and end the engine; gives up waiting after a few seconds."""
        closing = threading.Thread(target=self._conversation.close, daemon=True)
        closing.start()
        closing.join(_CLOSE_TIMEOUT_S)

    def drain(self) -> list[Event]:
        """The events since the last call, pieces of the same text joined."""
        return list(join_pieces(self._take()))

    def _start(self, job: _Job) -> None:
        self._n_running += 1
        threading.Thread(target=self._run, args=(job,), daemon=True).start()

    def _run(self, job: _Job) -> None:
        try:
            for event in job():
                self._note(event)
                self._events.put(event)
        except Exception as exc:  # noqa: BLE001 - the edge of the thread: it must not die unheard
            message = f"unexpected {type(exc).__name__}: {exc}"
            self._events.put(Error(code="unexpected", message=message, hint="a bug; ask again"))
            self._events.put(End(state=EndState.FAILED, reason="error"))
        finally:
            self._events.put(None)

    def _hear(self, event: Event) -> None:
        self._events.put(event)
        self.on_news()

    def _note(self, event: Event) -> None:
        if isinstance(event, Error):
            self._error_code = event.code
        elif isinstance(event, End):
            has_failed = event.state is EndState.FAILED
            self.exit_code = EXIT_CODE_OF.get(self._error_code, 1) if has_failed else 0

    def _take(self) -> Iterator[Event]:
        while True:
            try:
                event = self._events.get_nowait()
            except Empty:
                return
            if event is None:
                self._n_running -= 1
            else:
                yield event


def join_pieces(events: Iterable[Event]) -> Iterator[Event]:
    """The same stream in fewer events: neighbouring pieces of text become one."""
    held: Event | None = None
    for event in events:
        joined = _join(held, event)
        if joined is None and held is not None:
            yield held
        held = joined or event
    if held is not None:
        yield held


def _join(first: Event | None, second: Event) -> Event | None:
    """One event that says what both say; None if there is no such event."""
    if isinstance(first, Thinking) and isinstance(second, Thinking):
        return dataclasses.replace(
            second, text=first.text + second.text, n_tokens=first.n_tokens + second.n_tokens
        )
    if isinstance(first, Answer) and isinstance(second, Answer):
        return dataclasses.replace(
            second, text=first.text + second.text, n_tokens=first.n_tokens + second.n_tokens
        )
    if isinstance(first, Progress) and isinstance(second, Progress):
        return second if first.stage == second.stage else None
    return None
