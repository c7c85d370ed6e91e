"""Owns the way from a name on the command line to a document: a file of any format, or stdin."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from localr1.documents.cleaning import cleaned
from localr1.documents.decoding import decoded
from localr1.documents.document import MAX_CHARS, STDIN, Document, Extracted, Format
from localr1.documents.extraction import extract
from localr1.documents.formats import HEAD_BYTES, recognised
from localr1.errors import DocumentError, ModelNotFoundError, UsageError
from localr1.paths import typed_path
from localr1.terminal_text import safe_line
from localr1.units import format_bytes

_MAX_FILE_BYTES = 256 * 1024**2  # pictures in a PDF may take that
_MAX_TEXT_BYTES = 4 * MAX_CHARS  # UTF-8 and UTF-16 take four bytes at most


def read_document(name: str, stdin: BinaryIO | None) -> Document:
    """The document of that name; `-` reads `stdin`, None if there is none.

    Raises: ModelNotFoundError; UsageError for a directory or device; DocumentError for what holds
    no text, is damaged, locked or too long.
    """
    if name == STDIN:
        return _from_stdin(b"" if stdin is None else stdin.read(_MAX_TEXT_BYTES + 1))
    path = _file_called(name)
    shown = safe_line(path.name)
    try:
        with path.open("rb") as file:
            kind = recognised(shown, file.read(HEAD_BYTES))
            if kind is Format.TEXT:
                file.seek(0)
                return _document(shown, _plain(shown, file.read(_MAX_TEXT_BYTES + 1)), kind)
    except OSError as exc:
        raise DocumentError(f"{shown} cannot be read: {exc.strerror}") from exc
    return _document(shown, extract(path, shown, kind), kind)


def _from_stdin(content: bytes) -> Document:
    if recognised("stdin", content[:HEAD_BYTES]) in {Format.PDF, Format.DOCX}:
        raise DocumentError("stdin takes text only", hint="give the file by its name")
    return _document("stdin", _plain("stdin", content), Format.TEXT)


def _file_called(name: str) -> Path:
    path = typed_path(name)
    if path.is_dir():
        raise UsageError(f"{name} is a directory", hint="give --document once for each file in it")
    if not path.exists():
        raise ModelNotFoundError(f"there is no document {name}")
    if not path.is_file():
        raise UsageError(f"{name} is no regular file", hint="give - and pipe the text in")
    n_bytes = path.stat().st_size
    if n_bytes > _MAX_FILE_BYTES:
        raise _too_long(safe_line(path.name), format_bytes(n_bytes))
    return path


def _plain(name: str, content: bytes) -> Extracted:
    if len(content) > _MAX_TEXT_BYTES:
        raise _too_long(name, f"more than {format_bytes(_MAX_TEXT_BYTES)} of text")
    return Extracted(text=decoded(content, name))


def _document(name: str, extracted: Extracted, kind: Format) -> Document:
    text, n_taken = cleaned(extracted.text)
    if not text.strip():
        raise DocumentError(f"{name} has no text in it")
    if len(text) > MAX_CHARS:
        raise _too_long(name, f"{len(text):,} characters")
    invisible = (f"{n_taken} invisible characters were left out",) if n_taken else ()
    return Document(
        name=name,
        format=kind,
        text=text,
        n_pages=extracted.n_pages,
        notices=tuple(f"{name}: {notice}" for notice in (*extracted.notices, *invisible)),
    )


def _too_long(name: str, size: str) -> DocumentError:
    return DocumentError(
        f"{name} is too long: {size}, read are up to {MAX_CHARS:,} characters",
        hint="no model reads as much; give the part that matters",
    )
