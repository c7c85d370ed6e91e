"""Owns a child process that speaks frames: its greeting, its deadlines, why it died.

llama.cpp aborts and cannot be caught, and a template can eat all memory; both live in children
that may die. `ChildProcess` turns every way of dying, hanging or talking nonsense into one typed
error that names the cause. It knows nothing about what the child does.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from localr1.errors import EngineDiedError, EngineStartError
from localr1.worker.channel import Channel
from localr1.worker.death import explain_death
from localr1.worker.life import Life
from localr1.worker.protocol import PROTOCOL_VERSION, FrameError, Message
from localr1.worker.vitals import LOOK_S, StallWatch, is_stopped

_LOG_TAIL_BYTES = 64 * 1024
_SEND_S = 30.0
_REAP_S = 5.0


class ChildProcess:
    """One running child. Made by `start`; after any EngineDiedError only `close` makes sense."""

    def __init__(self, name: str, channel: Channel, life: Life, log_path: Path) -> None:
        self._name = name
        self._channel = channel
        self._life = life
        self._death: EngineDiedError | None = None
        self._close_lock = threading.Lock()
        self._is_closed = False
        self.log_path = log_path
        self.facts: Mapping[str, Any] = {}
        """What the child reported when it became ready."""

    @classmethod
    def start(
        cls, module: str, *, name: str, log_dir: Path | None = None, timeout_s: float = 60.0
    ) -> ChildProcess:
        """Run `python -P -m module` and wait until it says READY.

        The child's stdout and stderr go to a private log file in `log_dir` (default: the
        temporary directory). It leads a session of its own: Ctrl-C reaches only the parent.
        Raises: EngineStartError if it dies, is of another version, or takes too long.
        """
        try:
            descriptor, path = tempfile.mkstemp(f".{name}.log", "localr1-", log_dir)
        except OSError as exc:
            raise EngineStartError(f"cannot write a log for the {name}: {exc}") from exc
        log_path = Path(path)
        ours, theirs = socket.socketpair()
        try:
            life = Life(module, theirs.fileno(), descriptor)
        except (OSError, ValueError, subprocess.SubprocessError) as exc:
            ours.close()
            log_path.unlink(missing_ok=True)
            raise EngineStartError(f"cannot start the {name}: {exc}") from exc
        finally:
            theirs.close()
            os.close(descriptor)
        child = cls(name, Channel(ours), life, log_path)
        try:
            child._await_ready(timeout_s)
        except BaseException:
            child.kill()
            child.close()
            raise
        return child

    def _await_ready(self, timeout_s: float) -> None:
        try:
            ready = self.receive(timeout_s)
        except EngineDiedError as exc:
            raise EngineStartError(exc.message, hint=exc.hint or f"see {self.log_path}") from exc
        if ready is None:
            raise EngineStartError(f"the {self._name} was not ready after {timeout_s:.0f} seconds")
        if ready["type"] == "refused":
            raise EngineStartError(str(ready.get("message")), hint=str(ready.get("hint", "")))
        if ready["type"] != "ready" or ready.get("protocol") != PROTOCOL_VERSION:
            raise EngineStartError(
                f"the {self._name} speaks another protocol than this program",
                hint="two versions of localr1 are mixed; reinstall it",
            )
        facts = ready.get("facts")
        self.facts = facts if isinstance(facts, dict) else {}

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._life.pid

    @property
    def returncode(self) -> int | None:
        """How the process ended, negative for a signal; None while it runs."""
        return self._life.returncode

    @property
    def is_alive(self) -> bool:
        """True while the process runs and nothing is known to be wrong with it."""
        return self._death is None and not self._is_closed and not self._life.ended.is_set()

    def send(self, message: Mapping[str, Any]) -> None:
        """Send one message. Thread-safe.

        Raises: EngineDiedError if the child is gone or does not read.
        """
        self._raise_if_over()
        try:
            self._channel.send(message, timeout_s=_SEND_S)
        except EOFError as exc:
            raise self._died() from exc
        except TimeoutError as exc:
            raise self.give_up() from exc

    def receive(self, timeout_s: float) -> Message | None:
        """The next message, or None if there was none in time. For one thread at a time.

        Raises: EngineDiedError if the child died or sent nonsense.
        """
        self._raise_if_over()
        try:
            return self._channel.receive(timeout_s)
        except EOFError as exc:
            raise self._died() from exc
        except FrameError as exc:
            raise self.reject(str(exc)) from exc

    def receive_while_alive(self, stall_s: float) -> Message:
        """The next message, however long it takes, as long as the child works on it.

        Raises: EngineDiedError as `receive` does, and when the child has used no processor time
        for `stall_s` seconds.
        """
        watch = StallWatch(self.pid, stall_s)
        while (message := self.receive(LOOK_S)) is None:
            if watch.has_stalled():
                raise self.give_up()
        return message

    def when_ended(self, tell: Callable[[EngineDiedError], None]) -> None:
        """Call `tell` when the child ends unasked, from another thread; at once if it has."""

        def explain() -> None:
            if not self._is_closed:
                tell(self._death or self._declare(self._life.returncode))

        self._life.when_ended(explain)

    def give_up(self) -> EngineDiedError:
        """Kill a child that no longer works and return the error that says so."""
        self.kill()
        return self._declare(None)

    def reject(self, reason: str) -> EngineDiedError:
        """Kill a child that does not keep to the protocol and return the error that says so."""
        self.kill()
        self._death = EngineDiedError(f"the {self._name} sent nonsense: {reason}")
        return self._death

    def kill(self) -> None:
        """End the child and whatever it started, at once."""
        self._life.signal(signal.SIGKILL)
        self._life.ended.wait(_REAP_S)

    def close(self, *, grace_s: float = 3.0) -> None:
        """Ask the child to leave, then make it leave. Safe to call twice, from any thread.

        SIGTERM comes before SIGKILL: a killed Metal process can leak wired memory. A stopped child
        hears nothing until it is continued, and is then ended at once.
        """
        with self._close_lock:
            if self._is_closed:
                return
            self._is_closed = True
            self._part(grace_s)
            self._channel.close()
            if self._death is None:
                self.log_path.unlink(missing_ok=True)

    def _part(self, grace_s: float) -> None:
        if not self._life.ended.is_set():
            with contextlib.suppress(EOFError, TimeoutError):
                self._channel.send({"type": "close"}, timeout_s=0.1)
            if not is_stopped(self.pid) and self._life.ended.wait(grace_s):
                return
            self._life.signal(signal.SIGTERM)
            self._life.signal(signal.SIGCONT)
            if not self._life.ended.wait(grace_s):
                self.kill()

    def log_tail(self) -> str:
        """The last lines the child's native code wrote."""
        try:
            with self.log_path.open("rb") as log:
                log.seek(0, os.SEEK_END)
                log.seek(max(0, log.tell() - _LOG_TAIL_BYTES))
                return log.read().decode("utf-8", errors="replace")
        except OSError:
            return ""

    def _raise_if_over(self) -> None:
        if self._death is not None:
            raise self._death
        if self._is_closed:
            raise EngineDiedError(f"the {self._name} has been closed")

    def _died(self) -> EngineDiedError:
        # end of file can arrive a moment before the exit status
        if not self._life.ended.wait(_REAP_S):
            self.kill()
        return self._declare(self._life.returncode)

    def _declare(self, returncode: int | None) -> EngineDiedError:
        death = explain_death(f"the {self._name}", returncode, self.log_tail())
        hint = "; ".join(part for part in (death.hint, f"its log: {self.log_path}") if part)
        self._death = EngineDiedError(
            death.message, hint=hint, is_device_failure=death.is_device_failure
        )
        return self._death
