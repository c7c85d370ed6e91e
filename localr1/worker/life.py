"""Owns one child process from its birth until it is reaped, whatever is said to it meanwhile."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import localr1
from localr1.worker.environment import child_environment

_PACKAGE_ROOT = Path(localr1.__file__).resolve().parent.parent


class Life:
    """Spawns one process and reaps it, on a thread that lives exactly as long as the process.

    Linux delivers the parent-death signal when the *thread* that made the child ends, so the
    child must not be made by a thread that may end before it.
    Raises: OSError, ValueError, SubprocessError if it cannot be started.
    """

    def __init__(self, module: str, socket_fd: int, log_fd: int) -> None:
        self.ended = threading.Event()
        """Set once it has been reaped."""
        self.returncode: int | None = None
        """How it ended, negative for a signal; None while it runs."""
        self.pid = 0
        self._failure: Exception | None = None
        self._command = [sys.executable, "-P", "-m", module, str(socket_fd), str(os.getpid())]
        self._descriptors = (socket_fd, log_fd)
        self._started = threading.Event()
        self._end_lock = threading.Lock()
        self._at_end: Callable[[], None] | None = None
        threading.Thread(target=self._run, name=f"life of {module}", daemon=True).start()
        self._started.wait()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        socket_fd, log_fd = self._descriptors
        try:
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log_fd,
                stderr=log_fd,
                pass_fds=(socket_fd,),
                start_new_session=True,
                cwd="/",
                env=child_environment(os.environ, package_root=_PACKAGE_ROOT),
            )
            self.pid = process.pid
        except (OSError, ValueError, subprocess.SubprocessError) as exc:
            self._failure = exc
            return
        finally:
            self._started.set()
        self.returncode = process.wait()
        with self._end_lock:
            self.ended.set()
            at_end = self._at_end
        if at_end is not None:
            at_end()

    def when_ended(self, tell: Callable[[], None]) -> None:
        """Call `tell` on this thread once the process has been reaped; here if it has been."""
        with self._end_lock:
            self._at_end = tell
            has_ended = self.ended.is_set()
        if has_ended:
            tell()

    def signal(self, number: int) -> None:
        """Signal the child's process group, unless it has been reaped."""
        if not self.ended.is_set():
            # macOS refuses a group of which nothing is left but the entry
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)
