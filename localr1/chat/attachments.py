"""Owns how documents stand in the first question: each in a frame that its text cannot close.

Roles are out of a document's reach anyway (`forgery`). The frame keeps it from passing off words of
its own as those of the user: both its ends carry a mark that occurs in none of the documents. The
same documents get the same mark, so that a seeded reply can be repeated.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

_MARK_CHARS = 12


def framed(documents: Sequence[tuple[str, str]]) -> str:
    """Names and texts of documents as they are put before a question; empty if there are none."""
    mark = _mark_outside([part for document in documents for part in document])
    return "\n\n".join(
        f'[document {mark}: "{name}"]\n{text.rstrip()}\n[end of document {mark}]'
        for name, text in documents
    )


def with_documents(documents: str, question: str) -> str:
    """The first question of a conversation, with what `framed` made before it."""
    return f"{documents}\n\n{question}" if documents else question


def _mark_outside(texts: Sequence[str]) -> str:
    digest = hashlib.sha256("\0".join(texts).encode("utf-8", errors="replace"))
    while any(digest.hexdigest()[:_MARK_CHARS] in text for text in texts):
        digest.update(b"\0")
    return digest.hexdigest()[:_MARK_CHARS]
