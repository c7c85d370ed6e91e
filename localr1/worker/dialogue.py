"""Owns request and reply with the engine's child: numbers, refusals, cancelling, lateness.

A request that was given up may still be answered later; its frames carry its number and are
dropped. One request runs at a time.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

from localr1.errors import ContextOverflowError, EngineDiedError, EngineRefusedError
from localr1.worker.process import ChildProcess
from localr1.worker.protocol import FrameError, Message, from_json
from localr1.worker.vitals import StallWatch

_POLL_S = 0.025
_CANCEL_PATIENCE_S = 0.06
"""How long the child may take to confirm a cancel; one graph node of a big model takes longer."""


class Dialogue:
    """Numbered requests to one child."""

    def __init__(self, child: ChildProcess) -> None:
        self._child = child
        self._busy = threading.Lock()
        self._number = 0
        self._cancelled_s: float | None = None

    @contextlib.contextmanager
    def request(self, type_: str, body: Any, *, stall_s: float) -> Iterator[Reply]:
        """Send a request; the reply is read inside the block.

        Leaving the block before the reply is complete cancels the request.
        Raises: EngineRefusedError if another request runs, EngineDiedError.
        """
        if not self._busy.acquire(blocking=False):
            raise EngineRefusedError("the engine is busy with another request")
        try:
            self._cancelled_s = None
            self._number += 1
            self._ask({"type": type_, "request": self._number, "body": body})
            reply = Reply(self, self._child, self._number, stall_s)
            try:
                yield reply
            finally:
                if not reply.is_complete and self._child.is_alive:
                    self._send_cancel(self._number)
        finally:
            self._busy.release()

    def cancel(self) -> None:
        """Ask the child to stop the request that runs, if one does. Thread-safe."""
        if self._busy.locked():
            self._cancelled_s = time.monotonic()
            self._send_cancel(self._number)

    @property
    def is_cancel_overdue(self) -> bool:
        """Whether the child was asked to stop and has not done so in time."""
        since_s = self._cancelled_s
        return since_s is not None and time.monotonic() - since_s >= _CANCEL_PATIENCE_S

    def _ask(self, message: Message) -> None:
        try:
            self._child.send(message)
        except FrameError as exc:
            raise EngineRefusedError(f"the engine cannot be asked that: {exc}") from exc

    def _send_cancel(self, number: int) -> None:
        with contextlib.suppress(EngineDiedError):  # whoever waits for the reply hears of it
            self._child.send({"type": "cancel", "request": number})


class Reply:
    """The messages that answer one request."""

    def __init__(
        self, dialogue: Dialogue, child: ChildProcess, number: int, stall_s: float
    ) -> None:
        self._dialogue = dialogue
        self._child = child
        self._number = number
        self._watch = StallWatch(child.pid, stall_s)
        self.is_complete = False

    @property
    def is_cancel_overdue(self) -> bool:
        """Whether the child was asked to stop and has not done so in time."""
        return self._dialogue.is_cancel_overdue

    def poll(self) -> Message | None:
        """The next message of this reply, or None after a moment without one.

        Raises: EngineRefusedError, ContextOverflowError, EngineDiedError.
        """
        message = self._child.receive(_POLL_S)
        if message is None:
            if self._watch.has_stalled():
                raise self._child.give_up()
            return None
        self._watch.reset()
        if message.get("request") != self._number:
            return None
        self._raise_if_refused(message)
        return message

    def wait(self) -> Message:
        """The next message of this reply, however long it takes, while the child works."""
        while (message := self.poll()) is None:
            pass
        return message

    def complete(self, cls: Any, data: Any) -> Any:
        """Decode the last part of the reply, and close it."""
        self.is_complete = True
        return self.decode(cls, data)

    def decode(self, cls: Any, data: Any) -> Any:
        """Decode a part of the reply.

        Raises: EngineDiedError, having ended the child, if it is not what was promised.
        """
        try:
            return from_json(cls, data)
        except FrameError as exc:
            raise self._child.reject(str(exc)) from exc

    def _raise_if_refused(self, message: Message) -> None:
        if message["type"] == "refused":
            self.is_complete = True
            raise EngineRefusedError(
                str(message.get("message")),
                hint=str(message.get("hint", "")),
                is_device_failure=message.get("is_device_failure") is True,
            )
        if message["type"] == "overflow":
            self.is_complete = True
            raise ContextOverflowError(int(message["n_prompt"]), int(message["n_ctx"]))
