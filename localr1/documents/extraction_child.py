"""Owns the child process that parses one document: its limits, and every failure as a sentence.

The limit on processor time holds on a busy machine as on an idle one. Reasons complete a sentence
that begins with the name of the document.
"""

from __future__ import annotations

import contextlib
import logging
import resource
import signal
import sys
from pathlib import Path
from typing import NoReturn

from localr1.documents.document import Extracted, Format
from localr1.errors import DocumentError
from localr1.worker.childside import enter, say_ready
from localr1.worker.protocol import FrameError, Message, encode_frame, to_json

_MEMORY_BYTES = 1024**3  # address space; Python with pypdf takes about 100 MiB
_GRACE_S = 5  # where no Python code runs that could be interrupted


class _OutOfTimeError(BaseException):
    """Not an Exception: parsers catch those."""


def main() -> None:
    """Answer one request."""
    channel = enter(sys.argv)
    logging.disable()
    say_ready(channel, {})
    with contextlib.suppress(EOFError):
        message = channel.receive()
        if message is not None and message["type"] == "extract":
            _limit(message["cpu_s"])
            channel.send_frames(_answer(message))


def _limit(cpu_s: int) -> None:
    signal.signal(signal.SIGXCPU, _out_of_time)
    # macOS has no limit on memory that works; there the one on time has to do
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + _GRACE_S))


def _out_of_time(_signum: int, _frame: object) -> NoReturn:
    raise _OutOfTimeError


def _answer(message: Message) -> bytes:
    try:
        extracted = _read(Path(message["path"]), Format(message["format"]))
        return encode_frame({"type": "extracted", "body": to_json(extracted)})
    except DocumentError as exc:
        return _refusal(exc.message, exc.hint)
    except _OutOfTimeError:
        return _refusal(f"takes more than {message['cpu_s']} seconds to parse")
    except MemoryError:
        return _refusal("takes more than 1 GiB of memory to parse")
    except FrameError:
        return _refusal("has more text than any model reads", "give the part that matters")
    except RecursionError:
        return _refusal("is nested too deeply")
    except Exception as exc:  # noqa: BLE001 - a damaged file makes a parser raise anything
        return _refusal(f"is damaged: {type(exc).__name__}: {str(exc)[:200]}")


def _refusal(reason: str, hint: str = "") -> bytes:
    return encode_frame({"type": "refused", "reason": reason, "hint": hint})


def _read(path: Path, kind: Format) -> Extracted:
    """Parsers are imported when one is needed."""
    if kind is Format.PDF:
        from localr1.documents.pdf_pages import read_pdf

        return read_pdf(path)
    if kind is Format.DOCX:
        from localr1.documents.word_files import read_docx

        return read_docx(path)
    from localr1.documents.html_pages import read_html

    return read_html(path)


if __name__ == "__main__":
    main()
