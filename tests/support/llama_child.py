"""Asks llama.cpp in a child of its own: a failed assertion there ends the child, not the tests."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def ask(module: str, question: object, *, timeout_s: float) -> Any:
    """What the module, run with the question as JSON on stdin, answers as JSON on stdout."""
    child = subprocess.run(
        [sys.executable, "-m", module],
        input=json.dumps(question),
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
        timeout=timeout_s,
    )
    assert child.returncode == 0, child.stderr[-2000:]
    return json.loads(child.stdout)


def logged(c: Any) -> tuple[list[str], Any]:
    """The pieces of llama.cpp's log from now on, and a callback that must be kept as long."""
    log: list[str] = []

    def keep(_level: int, text: bytes, _user_data: object) -> None:
        log.append(text.decode(errors="replace"))

    callback = c.llama_log_callback(keep)
    c.llama_log_set(callback, None)
    return log, callback
