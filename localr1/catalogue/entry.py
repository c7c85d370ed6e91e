"""Owns the catalogue's data: what is known of each model, and finding one by its name.

A model may be `like` another one, of which it then has all sizes that it does not state itself.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from localr1.errors import ModelNotFoundError
from quant.gguf.contents import Value

_N_NEAREST = 5
_NAME = re.compile(r"[\w.-]{2,}:[\w.-]+", re.ASCII)  # a single letter would be a drive
_INHERITED = ("architecture", "is_tied", "file_types")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One model as its makers published it."""

    name: str
    """`family:size`."""
    repository: str
    """Of the checkpoint: `user/repo`."""
    lineage: str
    """What it was really made from, in words."""
    licence: str
    source: str
    """Where the sizes are from."""
    n_params: int
    """As published. Of a model that also sees, those of the part for text."""
    architecture: str
    """As llama.cpp names it."""
    is_tied: bool
    """Whether the output layer is the token embedding once more."""
    file_types: tuple[str, ...]
    """The only types it is published in; empty: any."""
    keys: Mapping[str, Value]
    """What decides sizes, by the GGUF's key without the architecture before it."""


@cache
def entries() -> Mapping[str, Entry]:
    """Every model by its name, family after family."""
    families: dict[str, Any] = {}
    folder = files("localr1.catalogue") / "families"
    for file in sorted(folder.iterdir(), key=lambda item: item.name):
        families |= tomllib.loads(file.read_text(encoding="utf-8"))
    names = [f"{family}:{size}" for family, rows in families.items() for size in rows["sizes"]]
    return MappingProxyType({name: _entry(families, name) for name in names})


def is_name(text: str) -> bool:
    """Whether a text is written like a name of the catalogue, `family:size`, or is a family."""
    if _NAME.fullmatch(text):
        return True
    return any(name.partition(":")[0] == text.lower() for name in entries())


def find_entry(text: str) -> tuple[Entry, str | None]:
    """The model called `family:size` or `family:size-QUANT`, and the type by its name in capitals.

    Raises: ModelNotFoundError with the nearest names.
    """
    name = text.lower()
    if name in entries():
        return entries()[name], None
    for known in sorted(entries(), key=len, reverse=True):
        if name.startswith(f"{known}-"):
            return entries()[known], name.removeprefix(f"{known}-").upper()
    raise ModelNotFoundError(
        f"the catalogue has no model {text[:80]}",
        hint=f"nearest: {', '.join(_nearest(name))}; localr1 fit lists all",
    )


def _nearest(name: str) -> list[str]:
    """Sizes of the same family, else names spelled alike."""
    of_family = [known for known in entries() if known.startswith(name.partition(":")[0] + ":")]
    return of_family or difflib.get_close_matches(name, entries(), n=_N_NEAREST, cutoff=0)


def _entry(families: Mapping[str, Any], name: str) -> Entry:
    facts = _facts(families, name)
    return Entry(
        name=name,
        repository=facts["repository"],
        lineage=facts["lineage"],
        licence=facts["licence"],
        source=facts["source"],
        n_params=facts["n_params"],
        architecture=facts["architecture"],
        is_tied=facts.get("is_tied", False),
        file_types=tuple(facts.get("file_types", ())),
        keys=MappingProxyType(facts["keys"]),
    )


def _facts(families: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Everything stated of a model: by itself, else by its family, else by what it is like."""
    family, _, size = name.partition(":")
    of_size, of_family = families[family]["sizes"][size], families[family]
    like = of_size.get("like", of_family.get("like"))
    inherited = _facts(families, like) if like else {}
    keys: dict[str, Any] = inherited.get("keys", {})
    facts = {field: inherited[field] for field in _INHERITED if field in inherited}
    for stated in (of_family, of_size):
        facts |= stated
        keys |= dict(_flat(stated.get("keys", {})))
    return facts | {"keys": keys}


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Value]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
