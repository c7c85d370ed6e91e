"""Owns what a conversation needs of an engine, and who hears when it ends.

While a reply runs, its own error says that the engine ended. In between nobody would ask, and the
next question would be the first to find out: that end is told as an event of its own.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Protocol

from localr1.errors import EngineDiedError
from localr1.events import Error
from localr1.terminal_text import safe_line
from localr1.worker.frames import GenerateRequest, GenerationFrame


class EngineLike(Protocol):
    """What a session needs of an engine; `localr1.worker.host.Engine` is the real one."""

    @property
    def is_alive(self) -> bool:
        """False once requests make no sense any more."""
        ...

    def generate(self, wanted: GenerateRequest, /) -> Iterator[GenerationFrame]:
        """Stream one reply; closing the iterator cancels it."""
        ...

    def cancel(self) -> None:
        """Stop the reply that runs, if one does. Thread-safe."""
        ...

    def when_ended(self, tell: Callable[[EngineDiedError], None], /) -> None:
        """Call `tell`, from any thread, when the engine ends without being closed."""
        ...

    def close(self) -> None:
        """End the engine."""
        ...


class EngineWatch:
    """Tells once that the engine in use has ended, unless a request runs, which hears of it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._engine: EngineLike | None = None
        self._is_busy = False
        self._unheard: EngineDiedError | None = None
        self.tell: Callable[[Error], None] = lambda _error: None
        """Gets the event, from any thread."""

    def follow(self, engine: EngineLike | None) -> None:
        """Watch this engine from now on, and no other one."""
        with self._lock:
            self._engine, self._unheard = engine, None
        if engine is not None:
            engine.when_ended(partial(self._ended, engine))

    @contextlib.contextmanager
    def request(self) -> Iterator[None]:
        """While a request runs; an end that it did not notice is told afterwards."""
        with self._lock:
            self._is_busy = True
        try:
            yield
        finally:
            with self._lock:
                self._is_busy = False
                death, self._unheard = self._unheard, None
            if death is not None:
                self._tell(death)

    def _ended(self, engine: EngineLike, death: EngineDiedError) -> None:
        with self._lock:
            if engine is not self._engine:
                return
            if self._is_busy:
                self._unheard = death
                return
        self._tell(death)

    def _tell(self, death: EngineDiedError) -> None:
        hint = f"the next question starts it again; {death.hint}".removesuffix("; ")
        self.tell(Error(code=death.code, message=safe_line(death.message), hint=safe_line(hint)))
