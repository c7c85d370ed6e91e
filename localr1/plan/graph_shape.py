"""Owns what a request adds to the shape of a model's compute graph."""

from __future__ import annotations

from dataclasses import dataclass

from backends.cache_types import CacheType


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphShape:
    """How many tokens there are, and how they are computed; how far they look back is left open."""

    n_tokens: int
    n_seqs: int = 1
    """Sequences that the tokens belong to, as many to each."""
    n_outputs: int
    """Tokens of the batch for which logits are wanted."""
    flash_attn: bool
    rotates_k: bool
    """Quantised keys are rotated before they are stored (a Hadamard matrix per head)."""
    rotates_v: bool
    gates_in_one_step: bool = True
    """Else an activation and a product, each over its input."""
    casts_masks: bool = False
    """Masks are made in single precision, and flash attention gets a copy in half."""
    type_k: CacheType
    """Of the cached keys."""
    type_v: CacheType
    n_rows: int = 1
    """Rows of cells in a layer's cache: one for each sequence, unless they share one."""
