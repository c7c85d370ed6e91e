"""Owns what would help: single changes of the request, each planned anew, ranked. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from localr1.model_facts.card import ModelCard
from localr1.plan.kv_cache import CELL_STEP, holds
from localr1.plan.memory_plan import Fix, Verdict
from localr1.plan.placement import Placement
from localr1.plan.quantisation import in_smaller_types
from localr1.plan.request import PlanRequest
from localr1.plan.solver import Solver


@dataclass(frozen=True, slots=True)
class _Change:
    text: str
    costs: str
    request: PlanRequest
    card: ModelCard


def find_fixes(solver: Solver, now: Placement) -> tuple[Fix, ...]:
    """Changes that save memory: those that are enough first, each by what it saves.

    Enough means: fits at all, or, where it fits with a part on the host already, fits on the GPU.
    """
    request = replace(solver.request, n_ctx=solver.n_ctx())
    found = [_try(change, solver, now) for change in _changes(solver, request, now)]
    found += _smaller_type(solver, request, now)
    useful = (fix for fix in found if fix.saves_bytes or fix.is_enough)
    return tuple(sorted(useful, key=lambda fix: (not fix.is_enough, -fix.saves_bytes)))


def _smaller_type(solver: Solver, request: PlanRequest, now: Placement) -> list[Fix]:
    """The most exact quantisation that is enough, or else the smallest."""

    def with_type(card: ModelCard) -> Fix:
        return _try(_Change(f"convert -q {card.quant}", "precision", request, card), solver, now)

    cards = [*in_smaller_types(solver.card)]
    if not cards:
        return []
    least = with_type(cards[-1])  # where it is not enough, none is
    others = cards[:-1] if least.is_enough else []
    return [next((fix for fix in map(with_type, others) if fix.is_enough), least)]


def _try(change: _Change, solver: Solver, now: Placement) -> Fix:
    changed = Solver(change.card, change.request, solver.hardware)
    n_ctx = changed.n_ctx()
    if change.card is solver.card and replace(solver.request, n_ctx=n_ctx) == change.request:
        changed = solver  # only the context is another: what was found out for others is of use
    placement = changed.placement(n_ctx)
    after = changed.verdict(placement)
    is_enough = after is Verdict.FITS or (
        solver.verdict(now) is Verdict.DOES_NOT_FIT and after is Verdict.FITS_WITH_OFFLOAD
    )
    saves_bytes = max(now.need_bytes - placement.need_bytes, 0)
    return Fix(change=change.text, saves_bytes=saves_bytes, costs=change.costs, is_enough=is_enough)


def _changes(solver: Solver, request: PlanRequest, now: Placement) -> Iterator[_Change]:
    card, n_ctx, max_ctx = solver.card, solver.n_ctx(), solver.max_ctx()

    def with_request(text: str, costs: str, **fields: Any) -> _Change:
        return _Change(text, costs, replace(request, **fields), card)

    if not request.uses_flash_attn:
        yield with_request("--flash-attn on", "nothing", flash_attn="on")
    shorter = max_ctx if 0 < max_ctx < n_ctx else n_ctx // 2 // CELL_STEP * CELL_STEP
    if shorter:
        yield with_request(f"--ctx {shorter}", "shorter conversations", n_ctx=shorter)
    head_dims = {*card.head_dim_k, *card.head_dim_v}
    for name, costs in (("q8_0", "hardly any precision"), ("q4_0", "some precision")):
        if request.uses_flash_attn and holds(name, head_dims):
            yield with_request(f"--kv {name}", costs, type_k=name, type_v=name)
    if request.n_ubatch > 128:
        yield with_request("--ubatch 128", "slower reading of prompts", n_ubatch=128)
    # where the user said how much goes to a GPU that cannot hold it, the plan may choose
    given = ("--gpu-layers", request.n_gpu_layers), ("--cpu-moe", request.n_host_experts)
    options = " and ".join(name for name, value in given if value is not None)
    if options and not all(device.fits for device in now.devices):
        yield with_request(
            f"without {options}",
            "speed: the processor does more",
            n_gpu_layers=None,
            n_host_experts=None,
        )
