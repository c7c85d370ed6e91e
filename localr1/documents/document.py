"""Owns a document as data: where it is from, what it says, and what there is to tell about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

STDIN = "-"
"""The name of what comes in through stdin, which is text."""

READABLE = "text, Markdown, source code, HTML, PDF and .docx can be read"
"""What to tell somebody who brought something else."""

MAX_CHARS = 4 * 1024**2
"""A million tokens and more; no model of the catalogue reads as much."""


class Format(StrEnum):
    """What a document was written in."""

    TEXT = "text"  # Markdown and source code too
    HTML = "html"
    PDF = "pdf"
    DOCX = "docx"


@dataclass(frozen=True, slots=True, kw_only=True)
class Extracted:
    """The text of a file, as a parser found it."""

    text: str
    n_pages: int | None = None
    """None where the format has no pages."""
    notices: tuple[str, ...] = ()
    """What of the file is not in the text, in sentences."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A document that was read."""

    name: str
    format: Format
    text: str
    """Without invisible characters; lines end with a newline alone."""
    n_pages: int | None = None
    notices: tuple[str, ...] = ()
