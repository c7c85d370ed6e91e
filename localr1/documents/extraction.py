"""Owns the text of HTML, PDF and .docx files, from the safe side of a process boundary.

Parsers of such files can be made to take any amount of memory and time. They run in a child that
has little of both, reads one file and is gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from localr1.documents.document import Extracted, Format
from localr1.errors import DocumentError, EngineError
from localr1.terminal_text import safe_line
from localr1.worker.process import ChildProcess
from localr1.worker.protocol import FrameError, Message, from_json

PARSE_S = 20
"""Of processor time."""

_STALL_S = 30.0
_MAX_REASON = 300


def extract(path: Path, name: str, kind: Format, *, cpu_s: int = PARSE_S) -> Extracted:
    """The text of a file that is called `name` for people; its parser may take that long.

    Raises: DocumentError if it has none, is damaged or locked, or its parser takes too much.
    """
    try:
        reply = _ask({"path": str(path.absolute()), "format": kind.value, "cpu_s": cpu_s})
    except EngineError as exc:
        raise DocumentError(f"{name} cannot be read: {exc.message}") from exc
    match reply:
        case {"type": "extracted", "body": body}:
            try:
                return from_json(Extracted, body)
            except FrameError as exc:
                raise DocumentError(f"{name} cannot be read: {exc}") from exc
        case {"type": "refused", "reason": str(reason), "hint": str(hint)}:
            raise DocumentError(f"{name} {safe_line(reason)[:_MAX_REASON]}", hint=safe_line(hint))
    raise DocumentError(f"{name} cannot be read: its parser spoke nonsense")


def _ask(wanted: Mapping[str, str | int]) -> Message:
    child = ChildProcess.start("localr1.documents.extraction_child", name="document reader")
    try:
        child.send({"type": "extract", **wanted})
        return child.receive_while_alive(_STALL_S)
    finally:
        child.kill()
        child.close()
        child.log_path.unlink(missing_ok=True)  # what a parser complains about may quote the file
