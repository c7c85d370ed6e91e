"""Owns the text of PDF files, through pypdf. Belongs to the child: files may be made to harm.

A page that cannot be read does not hide the others, but is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pypdf import PasswordType, PdfReader
from pypdf.errors import DependencyError, PyPdfError

from localr1.documents.document import MAX_CHARS, Extracted
from localr1.errors import DocumentError

_MAX_PAGES = 20_000
_NAMED_PAGES = 5


def read_pdf(path: Path) -> Extracted:
    """The text of all pages, an empty line between two of them.

    Raises: DocumentError if there is none, or if the file is locked; of a damaged file whatever
    pypdf raises.
    """
    reader = PdfReader(path)
    if reader.is_encrypted:
        _unlock(reader)
    n_pages = len(reader.pages)
    if n_pages > _MAX_PAGES:
        raise DocumentError(f"has {n_pages:,} pages, read are up to {_MAX_PAGES:,}")
    texts, unread = _texts(reader)
    if n_pages and len(unread) == n_pages:
        raise DocumentError("is damaged: no page of it can be read")
    empty = [number for number, text in texts.items() if not text.strip()]
    if len(empty) == len(texts):
        raise DocumentError(
            "has no text: its pages are pictures or empty",
            hint="a scan needs its text recognised first, for example by ocrmypdf",
        )
    notices = [
        f"{_pages(numbers)} of {n_pages} {what}"
        for numbers, what in ((unread, "could not be read"), (empty, "without text, left out"))
        if numbers
    ]
    text = "\n\n".join(text for text in texts.values() if text.strip())
    return Extracted(text=text, n_pages=n_pages, notices=tuple(notices))


def _unlock(reader: PdfReader) -> None:
    """Open a file that needs no password to be read, as many are."""
    try:
        is_open = reader.decrypt("") is not PasswordType.NOT_DECRYPTED
    except (DependencyError, PyPdfError, RuntimeError) as exc:
        raise DocumentError(
            "is encrypted in a way that is not read here", hint="decrypt it first: qpdf --decrypt"
        ) from exc
    if not is_open:
        raise DocumentError(
            "is locked with a password", hint="unlock it first: qpdf --decrypt --password=..."
        )


def _texts(reader: PdfReader) -> tuple[dict[int, str], list[int]]:
    """The text of each page by its number, and the numbers of pages that cannot be read."""
    texts: dict[int, str] = {}
    unread = []
    n_chars = 0
    for number, page in enumerate(reader.pages, start=1):
        try:
            texts[number] = page.extract_text()
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - a damaged page makes pypdf raise anything
            unread.append(number)
            continue
        n_chars += len(texts[number])
        if n_chars > MAX_CHARS:
            raise DocumentError(f"is too long: more than {MAX_CHARS:,} characters")
    return texts, unread


def _pages(numbers: Sequence[int]) -> str:
    named = ", ".join(map(str, numbers[:_NAMED_PAGES]))
    return f"page{'s' if len(numbers) > 1 else ''} {named}" + (
        f" and {len(numbers) - _NAMED_PAGES} more" if len(numbers) > _NAMED_PAGES else ""
    )
