"""Runs the real `localr1` in a process of its own, as a user's shell would."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

_ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "localr1")


@dataclass(frozen=True, slots=True)
class Finished:
    """What a run left behind."""

    code: int
    stdout: str
    stderr: str


def environment(home: Path) -> dict[str, str]:
    """A user's environment with a home of its own."""
    kept = {key: os.environ[key] for key in ("PATH", "LANG", "LC_ALL") if key in os.environ}
    return {**kept, "HOME": str(home), "LOCALR1_HOME": str(home / "localr1")}


def localr1(*args: str | Path, home: Path, stdin: str = "") -> Finished:
    """Run to the end."""
    done = subprocess.run(
        [*COMMAND, *map(str, args)],
        input=stdin,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=environment(home),
        cwd=_ROOT,
        check=False,
    )
    return Finished(done.returncode, done.stdout, done.stderr)


def start(*args: str | Path, home: Path) -> subprocess.Popen[str]:
    """Start a run whose streams the test reads."""
    return subprocess.Popen(
        [*COMMAND, *map(str, args)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env=environment(home),
        cwd=_ROOT,
    )


def kill_engine(parent_pid: int, signal_number: int = signal.SIGKILL) -> None:
    """Send a signal to the engine of a running localr1."""
    (engine,) = engines_of(parent_pid)
    engine.send_signal(signal_number)


def engines_of(parent_pid: int) -> list[psutil.Process]:
    """The engine processes that a running localr1 started."""
    return list(_engines(psutil.Process(parent_pid)))


def _engines(parent: psutil.Process) -> Iterator[psutil.Process]:
    for child in parent.children(recursive=True):
        if "localr1.worker.child" in child.cmdline():
            yield child
