"""Owns when a model is comfortable on a machine, and the type that makes it so. Pure.

It fits whole, a thought has room, and it writes as fast as people read. `fit` and
`plan --quant best` judge by the same rule.
"""

from __future__ import annotations

from collections.abc import Callable

from localr1.model_facts.card import ModelCard
from localr1.plan.memory_plan import MemoryPlan, Verdict
from localr1.plan.quantisation import OFFERED_TYPES, in_types

READING_TOKENS_PER_S = 5
"""About as fast as people read: four words a second."""

_ENOUGH_CTX = 4096  # in less than that, no thought comes to its end


def is_slow(plan: MemoryPlan) -> bool:
    """Whether it writes more slowly than people read; no, where the speed is not known."""
    speed = plan.speed
    return speed is not None and sum(speed.decode_tokens_per_s) / 2 < READING_TOKENS_PER_S


def is_comfortable(plan: MemoryPlan) -> bool:
    """Whether it fits whole, with the tokens asked for or enough for a thought, and is not slow."""
    least_ctx = min(_ENOUGH_CTX, plan.card.n_ctx_train)
    is_long = isinstance(plan.request.n_ctx, int) or plan.n_ctx >= least_ctx
    return plan.verdict is Verdict.FITS and is_long and not is_slow(plan)


def best_quantised(card: ModelCard, plan: Callable[[ModelCard], MemoryPlan]) -> ModelCard:
    """The most exact of the offered types that is comfortable; `plan` plans a model.

    Where none is, the smallest: of what has to be read, less is faster.
    """
    smallest = card
    for other in in_types(card, OFFERED_TYPES):
        smallest = other
        if is_comfortable(plan(other)):
            return other
    return smallest
