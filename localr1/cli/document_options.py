"""Owns the options about documents, and reading what they name, stdin once at most."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from localr1.documents.document import STDIN
from localr1.errors import UsageError

if TYPE_CHECKING:
    from localr1.attach import DocumentWish


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentOptions:
    """What the command line says about documents."""

    names: tuple[str, ...]
    n_reserved: int | None
    n_first: int | None

    def read(self, *, stdin_is: str = "") -> DocumentWish | None:
        """The documents; None if none were named. `stdin_is` says what stdin is needed for.

        Raises: UsageError for options that need a document, or where stdin cannot be one; as
        `read_document`.
        """
        if not self.names:
            if self.n_reserved is not None or self.n_first is not None:
                raise UsageError("--reserve and --document-tokens are for a --document")
            return None
        if STDIN in self.names and stdin_is:
            raise UsageError(f"stdin cannot be a document: it is {stdin_is}")
        if self.names.count(STDIN) > 1:
            raise UsageError("stdin can be one document only")
        from localr1.attach import DocumentWish
        from localr1.documents.reading import read_document

        stdin = None if sys.stdin is None else sys.stdin.buffer
        documents = tuple(read_document(name, stdin) for name in self.names)
        return DocumentWish(documents=documents, n_reserved=self.n_reserved, n_first=self.n_first)


_OPTIONS = (
    click.option(
        "--document",
        "document_names",
        multiple=True,
        metavar="FILE",
        help="Text, Markdown, source code, HTML, PDF or .docx for the first question; - is text"
        " from stdin. Repeat it for several.",
    ),
    click.option(
        "--reserve",
        "n_reserved",
        type=click.IntRange(1, 2**31),
        metavar="N",
        help="Tokens kept free beside documents for thinking and answer.  [default: 4096, or a"
        " quarter of what the model was trained on]",
    ),
    click.option(
        "--document-tokens",
        "n_first",
        type=click.IntRange(1, 2**31),
        metavar="N",
        help="Only the first N tokens of the documents.",
    ),
)


def with_document_options(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: adds the options and passes them on as one `documents`."""

    @functools.wraps(verb)
    def run(
        *args: Any,
        document_names: tuple[str, ...],
        n_reserved: int | None,
        n_first: int | None,
        **kwargs: Any,
    ) -> Any:
        documents = DocumentOptions(names=document_names, n_reserved=n_reserved, n_first=n_first)
        return verb(*args, documents=documents, **kwargs)

    decorated: Callable[..., Any] = run
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated
