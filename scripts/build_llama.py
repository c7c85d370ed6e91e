"""Installs llama-cpp-python into this environment and shows the compiler's progress.

pip is silent for the five minutes that llama.cpp takes to compile; this reads its verbose output
and prints one line that moves. On failure it prints the end of the log and where the rest is.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tempfile
import time
from collections import deque
from pathlib import Path

_STEP = re.compile(r"\[\s*(\d+)/(\d+)\]")
_COMMAND = [
    *(sys.executable, "-m", "pip", "install", "--verbose", "--disable-pip-version-check"),
    *("--constraint", "constraints.txt", "llama-cpp-python"),
]


def main() -> int:
    """Exit status of pip; 0 at once when the package is there."""
    if importlib.util.find_spec("llama_cpp") is not None:
        return 0
    say("building llama.cpp for this machine (about five minutes on two cores, once)")
    log_path = Path(tempfile.gettempdir()) / "localr1-build-llama.log"
    started_s = time.monotonic()
    tail: deque[str] = deque(maxlen=25)
    with (
        log_path.open("w", encoding="utf-8") as log,
        subprocess.Popen(
            _COMMAND, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        ) as pip,
    ):
        shown_s = 0.0
        for line in pip.stdout or ():
            log.write(line)
            tail.append(line)
            step = _STEP.search(line)
            if step and time.monotonic() - shown_s > (0.2 if sys.stderr.isatty() else 15):
                shown_s = time.monotonic()
                show(f"  compiling {step[1]} of {step[2]}, {shown_s - started_s:.0f} s")
    if sys.stderr.isatty():
        say("")
    if pip.returncode != 0:
        say("".join(tail))
        say(f"building llama-cpp-python failed; the whole log is {log_path}")
    return pip.returncode


def show(text: str) -> None:
    """Progress: one moving line on a terminal, plain lines elsewhere."""
    end = "\r" if sys.stderr.isatty() else "\n"
    sys.stderr.write(f"{text:<60}{end}")
    sys.stderr.flush()


def say(text: str) -> None:
    """A line of narration."""
    sys.stderr.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
