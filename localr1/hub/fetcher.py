"""Owns the thread that fetches shards behind the conversion's back, one after the other."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

_TICK_S = 0.2


class StoppedError(Exception):
    """Nobody wants the file any more."""


class Fetcher:
    """Files that are being fetched, and those that were."""

    def __init__(self, fetch: Callable[[Path], None]) -> None:
        self._fetch = fetch
        self._wanted: queue.SimpleQueue[Path | None] = queue.SimpleQueue()
        self._fetched: dict[Path, Future[None]] = {}
        self._stopped = threading.Event()
        # a daemon: a silent connection takes half a minute to notice that nobody waits for it
        self._thread = threading.Thread(target=self._work, name="fetch", daemon=True)
        self._thread.start()

    def start(self, path: Path) -> None:
        """Fetch the file after those that were asked for before."""
        self._fetched[path] = Future()
        self._wanted.put(path)

    def wait(self, path: Path, on_tick: Callable[[], None]) -> None:
        """Return when a file that was started is there. Raises: what fetching it raised."""
        fetched = self._fetched[path]
        while not fetched.done():
            on_tick()
            try:
                fetched.exception(_TICK_S)
            except TimeoutError:
                continue
        fetched.result()

    def pause(self, seconds: float) -> None:
        """Sleep in the thread. Raises: StoppedError as soon as it is told to stop."""
        if self._stopped.wait(seconds):
            raise StoppedError

    def stop(self) -> None:
        """End the thread at its next step; what it fetched so far stays on the disk."""
        self._stopped.set()
        self._wanted.put(None)
        self._thread.join(timeout=1)

    def _work(self) -> None:
        while (path := self._wanted.get()) is not None and not self._stopped.is_set():
            try:
                self._fetch(path)
            except BaseException as exc:  # noqa: BLE001 - told to who waits for the file
                self._fetched[path].set_exception(exc)
            else:
                self._fetched[path].set_result(None)
