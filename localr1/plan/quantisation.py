"""Owns the choice of a quantisation: the same model in each type, and which one suits a machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from localr1.model_facts.card import ModelCard
from localr1.plan.hardware import Hardware
from localr1.plan.memory_plan import Verdict
from localr1.plan.request import PlanRequest
from localr1.plan.solver import Solver
from localr1.plan.weights import total_bytes
from quant.errors import QuantError
from quant.gguf.types import FileType, TensorType

OFFERED_TYPES = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "IQ4_XS")
"""Most exact first."""

_CLEARLY_SMALLER = 0.97
ENOUGH_CTX = 4096
"""Tokens; in less than that, no thought comes to its end."""


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


def best_quantised(card: ModelCard, request: PlanRequest, hardware: Hardware) -> ModelCard:
    """The most exact one that fits where it is fast, with a context that is worth having.

    Where none does, the smallest: of what the processor has to read, less is faster.
    """
    smallest = card
    for other in in_types(card, OFFERED_TYPES):
        smallest = other
        solver = Solver(other, request, hardware)
        n_ctx = solver.n_ctx()
        is_long_enough = n_ctx >= min(ENOUGH_CTX, card.n_ctx_train) or request.n_ctx is not None
        if is_long_enough and solver.verdict(solver.placement(n_ctx)) is Verdict.FITS:
            return other
    return smallest
