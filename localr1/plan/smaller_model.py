"""Owns the way out that is always open: a smaller model of the same family. Pure.

Apart from `fixes`, which changes how one model is loaded, because other models are no business of
the solver: they are handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from localr1.model_facts.card import ModelCard
from localr1.plan.comfort import is_comfortable, is_slow
from localr1.plan.memory_plan import Fix, MemoryPlan, Verdict

LOST = "what the larger model knows"
"""What a smaller model costs."""


def with_smaller_model(
    plan: MemoryPlan, plan_of: Callable[[ModelCard], MemoryPlan], smaller: Iterable[ModelCard]
) -> MemoryPlan:
    """The same plan; if it does not fit, or is slow, with the first comfortable one of `smaller`.

    These come largest first and are planned one by one, so that a lazy iterable is read no further
    than needed. Raises: as `plan_of`.
    """
    if plan.verdict is not Verdict.DOES_NOT_FIT and not is_slow(plan):
        return plan
    room_bytes = sum(place.limit_bytes for place in plan.places)
    for card in smaller:
        if card.file_bytes > room_bytes:  # plain without a plan
            continue
        other = plan_of(card)
        if is_comfortable(other):
            fix = Fix(
                change=card.name,
                saves_bytes=max(plan.need_bytes - other.need_bytes, 0),
                costs=LOST,
                is_enough=True,
            )
            enough = [known for known in plan.fixes if known.is_enough]
            return replace(plan, fixes=(*enough, fix, *plan.fixes[len(enough) :]))
    return plan
