"""Owns telling formats apart, by the first bytes of a file and, for HTML, also by its name."""

from __future__ import annotations

import re

from localr1.documents.document import READABLE, Format
from localr1.errors import DocumentError

HEAD_BYTES = 1024
"""As much of a file is looked at."""

_HTML_SUFFIXES = (".html", ".htm", ".xhtml")
_HTML_START = re.compile(rb"(\xef\xbb\xbf)?\s*<(!doctype html|html)\b", re.IGNORECASE)
_REFUSED = (
    (b"{\\rtf", "an RTF file", "save it as .docx or PDF"),
    (
        b"\xd0\xcf\x11\xe0",
        "an old or a locked Office file",
        "save it as .docx or PDF, without a password",
    ),
    (b"%!PS", "a PostScript file", "make a PDF of it: ps2pdf"),
    (b"\x89PNG", "a PNG picture", READABLE),
    (b"\xff\xd8\xff", "a JPEG picture", READABLE),
    (b"GIF8", "a GIF picture", READABLE),
    (b"\x1f\x8b", "a gzip file", "unpack it first"),
    (b"GGUF", "a model", READABLE),
    (b"\x7fELF", "a program", READABLE),
)


def recognised(name: str, head: bytes) -> Format:
    """What a file seems to be; a ZIP archive is taken for a .docx until it is opened.

    Raises: DocumentError for an empty file and for formats that are known not to be readable.
    """
    if not head:
        raise DocumentError(f"{name} is empty")
    for start, what, hint in _REFUSED:
        if head.startswith(start):
            raise DocumentError(f"{name} is {what}, which is no readable document", hint=hint)
    if b"%PDF-" in head:  # readers accept up to 1024 bytes of something else before it
        return Format.PDF
    if head.startswith(b"PK\x03\x04"):
        return Format.DOCX
    if name.lower().endswith(_HTML_SUFFIXES) or _HTML_START.match(head):
        return Format.HTML
    return Format.TEXT
