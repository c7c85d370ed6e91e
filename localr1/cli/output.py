"""Owns stdout and stderr: the only writer to either.

stdout is data (an answer, a table, JSON), stderr is narration (thinking, progress, notices,
errors). Progress is drawn on a terminal only, and taken away before anything else is written.
Everything foreign goes through `safe_text` here, once more: a gate that costs nothing.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, TextIO

from localr1.errors import NoRoomError, ReaderLeftError
from localr1.terminal_text import safe_line, safe_text
from localr1.units import format_duration

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
_REDRAW_S = 0.1
_STYLES = {"dim": "\x1b[2m", "bold": "\x1b[1m", "red": "\x1b[31m"}


class ExplainedError(Protocol):
    """What the error trees of localr1, quant and backends have in common."""

    @property
    def code(self) -> str:
        """The machine's word for it."""
        ...

    @property
    def message(self) -> str:
        """What happened, where."""
        ...

    @property
    def hint(self) -> str:
        """What to do."""
        ...


class Output:
    """Where a verb writes. One object per run, made from the global options."""

    def __init__(
        self,
        *,
        as_json: bool = False,
        quiet: bool = False,
        verbose: bool = False,
        stdout: TextIO | None = None,
        stderr: TextIO | None = None,
    ) -> None:
        self._began_s = time.monotonic()
        self.as_json = as_json
        self.quiet = quiet
        self.verbose = verbose
        self._stdout = _usable(sys.stdout if stdout is None else stdout)
        self._stderr = _usable(sys.stderr if stderr is None else stderr)
        self._has_progress = False
        self._label = ""
        self._drawn_s = 0.0
        self._started_s = 0.0
        self._first_share = 0.0

    @property
    def is_terminal(self) -> bool:
        """Whether a person watches: both streams are terminals."""
        return self._stdout.isatty() and self._stderr.isatty()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the request began: `t` of an event."""
        return time.monotonic() - self._began_s

    def data(self, text: str, *, end: str = "\n") -> None:
        """Write data to stdout at once."""
        self.clear_progress()
        self._to_stdout(safe_text(text) + end)

    def json(self, document: Mapping[str, Any], *, indent: int | None = None) -> None:
        """One JSON document, on one line unless `indent` is given."""
        self.clear_progress()
        self._to_stdout(json.dumps(document, ensure_ascii=False, indent=indent) + "\n")

    def narrate(self, text: str, *, style: str = "", end: str = "\n") -> None:
        """Write narration to stderr, unless quiet."""
        if self.quiet:
            return
        self.clear_progress()
        self._to_stderr(self._styled(safe_text(text), style) + end)

    def detail(self, text: str) -> None:
        """Narration for `-v` only."""
        if self.verbose:
            self.narrate(text, style="dim")

    def error(self, error: ExplainedError) -> None:
        """One line that says what happened, and the hint on the same line. Also when quiet."""
        if self.as_json:
            from localr1.events import Error, to_json

            event = Error(t=self.elapsed_s, code=error.code, message=error.message, hint=error.hint)
            self.json(to_json(event))
        self.clear_progress()
        hint = f" ({safe_line(error.hint)})" if error.hint else ""
        line = self._styled("localr1: ", "red") + safe_line(error.message) + hint
        self._to_stderr(line + "\n")

    def progress(self, label: str, done: float, total: float, *, note: str = "") -> None:
        """Draw a bar on one moving line; does nothing off a terminal or when quiet."""
        if self.quiet or self.as_json or not self._stderr.isatty():
            return
        now_s = time.monotonic()
        share = min(done / total, 1.0) if total else 0.0
        if not self._has_progress or label != self._label:
            self._label, self._started_s, self._first_share = label, now_s, share
        elif now_s - self._drawn_s < _REDRAW_S and done < total:
            return
        self._drawn_s = now_s
        self._has_progress = True
        filled = round(share * 24)
        bar = "█" * filled + "░" * (24 - filled)
        here = share - self._first_share  # work that goes on starts where it was cut short
        left_s = (now_s - self._started_s) * (1 - share) / here if here > 0.02 else None
        left = "" if left_s is None else f", {format_duration(left_s)} left"
        self._to_stderr(f"\r\x1b[K{safe_line(label)} {bar} {share:4.0%} {note}{left}")

    def conversion(self, bytes_done: float, bytes_total: float) -> None:
        """Progress of making the embedded model; `models.resolve` reports it."""
        self.progress("converting r1-nano", bytes_done, bytes_total)

    def clear_progress(self) -> None:
        """Take the progress line away."""
        if self._has_progress:
            self._has_progress = False
            self._to_stderr("\r\x1b[K")

    def _to_stdout(self, text: str) -> None:
        try:
            self._stdout.write(text)
            self._stdout.flush()
        except OSError as exc:
            _point_to_nowhere(self._stdout)
            if exc.errno in NO_ROOM:
                raise NoRoomError("there is no room left to write stdout to") from exc
            raise ReaderLeftError from exc

    def _to_stderr(self, text: str) -> None:
        try:
            self._stderr.write(text)
            self._stderr.flush()
        except OSError:
            _point_to_nowhere(self._stderr)  # nobody gets the narration: go on without

    def _styled(self, text: str, style: str) -> str:
        if not style or not self._stderr.isatty() or os.environ.get("NO_COLOR"):
            return text
        return f"{_STYLES[style]}{text}\x1b[0m"


def _usable(stream: TextIO | None) -> TextIO:
    """The stream; a place for nothing instead of one that was closed before we began."""
    return Path(os.devnull).open("w", encoding="utf-8") if stream is None else stream


def _point_to_nowhere(stream: TextIO) -> None:
    """Let what is still buffered drain away, or the interpreter complains about it at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
