"""Owns the text of .docx files: paragraphs, tabs and breaks of the main part. For the child.

A .docx is a ZIP archive of XML (ECMA-376). It needs no DTD, and whoever writes one means harm.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any, NoReturn
from xml.parsers import expat

from localr1.documents.document import MAX_CHARS, Extracted
from localr1.errors import DocumentError

_MAIN = "word/document.xml"
_MAX_XML_BYTES = 128 * 1024**2  # markup takes ten times the text and more
_PIECE_BYTES = 64 * 1024
_WORDS = "http://schemas.openxmlformats.org/wordprocessingml/2006/main "
_AFTER = {f"{_WORDS}p": "\n", f"{_WORDS}br": "\n", f"{_WORDS}cr": "\n", f"{_WORDS}tab": "\t"}


def read_docx(path: Path) -> Extracted:
    """The text as it stands, without what was struck in revisions. Raises: DocumentError."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(_MAIN) as file:
            return Extracted(text=_text_of(file))
    except KeyError as exc:
        raise DocumentError(
            "is a ZIP archive, no .docx", hint="unpack it, and give the documents in it"
        ) from exc
    except RuntimeError as exc:  # encrypted, or compressed in a way that zipfile does not know
        raise DocumentError(f"cannot be unpacked: {exc}", hint="save it again") from exc
    except (zipfile.BadZipFile, zlib.error, EOFError) as exc:
        raise DocumentError(f"is damaged: {exc}") from exc


def _text_of(file: Any) -> str:
    words = _Words()
    n_left = _MAX_XML_BYTES
    try:
        while piece := file.read(_PIECE_BYTES):
            n_left -= len(piece)
            if n_left < 0:
                raise DocumentError(f"unpacks to more than {_MAX_XML_BYTES // 1024**2} MiB")
            words.parser.Parse(piece, False)
        words.parser.Parse(b"", True)
    except expat.ExpatError as exc:
        raise DocumentError(f"is damaged: {exc}") from exc
    return "".join(words.parts)


class _Words:
    """Collects what a parser meets between the tags of `w:t`."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self._n_chars = 0
        self._is_text = False
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.StartDoctypeDeclHandler = _refuse
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters

    def _start(self, name: str, _attributes: object) -> None:
        self._is_text = name == f"{_WORDS}t"

    def _end(self, name: str) -> None:
        self._is_text = False
        self.parts.append(_AFTER.get(name, ""))

    def _characters(self, text: str) -> None:
        if not self._is_text:
            return
        self.parts.append(text)
        self._n_chars += len(text)
        if self._n_chars > MAX_CHARS:
            raise DocumentError(f"is too long: more than {MAX_CHARS:,} characters")


def _refuse(*_declaration: object) -> NoReturn:
    raise DocumentError("declares a document type, which no word processor does")
