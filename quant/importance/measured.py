"""Owns what is known of a measured weight before its sums. Light: the engine's parent uses it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MeasuredTensor:
    """A weight whose inputs were measured."""

    name: str
    n_sums: int
    """Over all its matrices."""
    counts: tuple[int, ...]
    """One for all sums, or one for each matrix."""
