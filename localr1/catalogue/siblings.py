"""Owns finding the smaller models of a model's own family in the catalogue."""

from __future__ import annotations

import re
from collections.abc import Iterator

from localr1.catalogue.entry import Entry, entries
from localr1.catalogue.header import card_of, chosen_type
from localr1.model_facts.card import ModelCard

_CLEARLY_SMALLER = 0.8


def smaller_siblings(card: ModelCard) -> Iterator[ModelCard]:
    """The same family's smaller models in their usual type, the largest first.

    A model is known by the name of its entry, or by that of its repository, and by its size. None
    for a model that the catalogue does not have.
    """
    entry = _entry_of(card)
    if entry is None:
        return
    family = entry.name.partition(":")[0] + ":"
    smaller = [
        other
        for name, other in entries().items()
        if name.startswith(family) and other.n_params < _CLEARLY_SMALLER * entry.n_params
    ]
    for other in sorted(smaller, key=lambda other: -other.n_params):
        yield card_of(other, chosen_type(other, None))


def _entry_of(card: ModelCard) -> Entry | None:
    named = [
        entry
        for entry in entries().values()
        if _letters(card.name) in {_letters(entry.name), _letters(entry.repository.split("/")[1])}
    ]
    return next((entry for entry in named if entry.architecture == card.arch), None)


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
