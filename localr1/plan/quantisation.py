"""Owns the same model in other types of quantisation, as `convert` would write it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from localr1.model_facts.card import ModelCard
from localr1.plan.weights import total_bytes
from quant.errors import QuantError
from quant.gguf.types import FileType, TensorType

OFFERED_TYPES = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "IQ4_XS")
"""Most exact first."""

_CLEARLY_SMALLER = 0.97


def in_smaller_types(card: ModelCard) -> Iterator[ModelCard]:
    """The model in each offered type in which it is clearly smaller than it is."""
    names: Sequence[str] = OFFERED_TYPES
    if card.quant in names:
        names = names[names.index(card.quant) + 1 :]
    n_bytes = total_bytes(card.tensors)
    for other in in_types(card, names):
        if total_bytes(other.tensors) < _CLEARLY_SMALLER * n_bytes:
            yield other


def in_types(card: ModelCard, names: Sequence[str]) -> Iterator[ModelCard]:
    """The model in each of these types; none where the types it has are not known."""
    if any(tensor.type_name not in TensorType.__members__ for tensor in card.tensors):
        return
    from localr1.model_facts.requantised import requantised  # brings numpy along

    for name in names:
        try:
            yield requantised(card, FileType[name])
        except QuantError:
            continue  # rows that are no whole blocks, or tensors that no mix has a rule for
