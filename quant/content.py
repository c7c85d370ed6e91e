"""Owns what an output holds, wherever it comes from, before it is laid out in files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quant.gguf.key_values import KeyValues
from quant.recipe import TypedTensor


@dataclass(frozen=True, slots=True)
class Content:
    """Metadata, and tensors in the order of the files."""

    architecture: str
    tensors: Sequence[TypedTensor]
    key_values: KeyValues
    n_params: int
    notices: Sequence[str] = ()
    """What the user should know about it."""
