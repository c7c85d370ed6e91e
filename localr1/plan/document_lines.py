"""Owns the cost of a document in words: lines of text for people."""

from __future__ import annotations

from itertools import islice

from localr1.plan.document_cost import DocumentCost, Obstacle
from localr1.plan.memory_plan import Fix, MemoryPlan, Verdict
from localr1.units import format_bytes, format_count, format_duration

_N_OFFERED = 5


def headline(name: str, lowest_tokens: int, plan: MemoryPlan, cost: DocumentCost) -> str:
    """`paper.pdf: 41.2k tokens = 2.2 GiB of KV; you have 1.1 GiB: use --kv q8_0, or ...`.

    `lowest_tokens` is less than what was planned for where tokens were estimated.
    """
    count, kv = format_count(cost.need.n_document), format_bytes(cost.kv_bytes)
    is_estimate = lowest_tokens < cost.need.n_document
    if is_estimate:
        count, kv = f"{format_count(lowest_tokens)} to {count}", f"up to {kv}"
    tokens = f"{count} tokens (estimated)" if is_estimate else f"{count} tokens"
    what = f"{name}: {tokens} = {kv} of KV"
    if cost.obstacle is None:
        how = "fits" if plan.verdict is Verdict.FITS else "fits with a part on the processor"
        return f"{what}; {how}, with {_reply(cost)}, in a context of {plan.n_ctx}{_time(cost)}"
    return f"{what}; {_shortage(plan, cost)}: {offer(cost)}"


def context_line(plan: MemoryPlan, cost: DocumentCost) -> str:
    """What the context is made of."""
    need = cost.need
    parts = f"{need.n_document} + {need.n_prompt} for the question + {need.n_reserved} reserved"
    line = f"needs a context of {need.n_ctx}: {parts} for thinking and answer (--reserve)"
    if not any(plan.card.is_swa) and not any(plan.card.state_numbers):
        return line
    return f"{line}; sliding windows and recurrent states do not grow with it"


def offer(cost: DocumentCost) -> str:
    """The least drastic ways out that are enough, one for each kind of change."""
    kinds: dict[str, Fix] = {}
    for way in cost.ways_out:
        if way.is_enough:
            kinds.setdefault(way.change.partition(" ")[0], way)
    changes = [way.change for way in islice(kinds.values(), _N_OFFERED)]
    return f"use {', or '.join(changes)}" if changes else "no single change is enough"


def _shortage(plan: MemoryPlan, cost: DocumentCost) -> str:
    if cost.obstacle is Obstacle.TRAINING:
        return (
            f"with {_reply(cost)} that is a context of {cost.need.n_ctx}, the model was trained on "
            f"{plan.card.n_ctx_train}"
        )
    if cost.obstacle is Obstacle.CONTEXT:
        return f"with {_reply(cost)} that is a context of {cost.need.n_ctx}, not {plan.n_ctx}"
    if not plan.max_ctx:
        return "the model does not fit even without it"
    if not cost.room_tokens:
        return f"with {_reply(cost)} there is no room for any document"
    return f"you have {format_bytes(cost.room_bytes)} beside {_reply(cost)}"


def _reply(cost: DocumentCost) -> str:
    return f"{cost.need.n_reserved} tokens for thinking and answer"


def _time(cost: DocumentCost) -> str:
    if cost.reading_s is None:
        return ""
    fast, slow = map(format_duration, cost.reading_s)
    return f"; read in {fast}" if fast == slow else f"; read in {fast} to {slow}"
