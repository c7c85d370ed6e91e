"""Owns what names a repository on a hub: `user/repo[@revision]`, or an address of its page.

A path on the disk always wins, and so does a directory that the name would begin with: a typing
error in a path must not become a question to a server.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from localr1.errors import UsageError

_ADDRESS = re.compile(r"(https?:/{1,2})?(www\.)?(huggingface\.co|hf\.co)/|hf:/{1,2}", re.IGNORECASE)
_PART = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}"
_NAME = re.compile(
    rf"(?P<user>{_PART})/(?P<repo>{_PART})((@|/tree/)(?P<revision>[A-Za-z0-9_][\w./-]{{0,199}}))?/?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class RepositoryName:
    """A repository, and which state of it."""

    user: str
    repo: str
    revision: str = "main"

    def __str__(self) -> str:
        return f"{self.user}/{self.repo}"

    @property
    def quoted_revision(self) -> str:
        """As a part of a URL: `refs/pr/1` is one part."""
        return quote(self.revision, safe="")


def repository_meant(source: str) -> RepositoryName | None:
    """The repository that a source on the command line names; None if it is a path.

    Raises: UsageError for a hub's address that leads to no repository.
    """
    if Path(source).expanduser().exists():
        return None
    address = _ADDRESS.match(source)
    rest = source[address.end() :] if address else source
    name = _NAME.fullmatch(rest)
    if name is None or ".." in rest:
        if address is None:
            return None
        raise UsageError(
            f"{source} is no repository", hint="name it as user/repo, or user/repo@revision"
        )
    if address is None and Path(name["user"]).is_dir():
        return None
    return RepositoryName(name["user"], name["repo"], name["revision"] or "main")
