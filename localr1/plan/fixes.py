"""Owns what would help: single changes of the request, each planned anew, ranked. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from localr1.plan.kv_cache import CELL_STEP, holds
from localr1.plan.memory_plan import Fix, Verdict
from localr1.plan.placement import Placement
from localr1.plan.request import PlanRequest
from localr1.plan.solver import Solver


@dataclass(frozen=True, slots=True)
class _Change:
    text: str
    costs: str
    request: PlanRequest


def find_fixes(solver: Solver, now: Placement) -> tuple[Fix, ...]:
    """Changes that save memory: those that are enough first, each by what it saves.

    Enough means: fits at all, or, where it fits with a part on the host already, fits on the GPU.
    """
    verdict = solver.verdict(now)
    found = []
    for change in _changes(solver, now):
        changed = Solver(solver.card, change.request, solver.hardware)
        placement = changed.placement(changed.n_ctx())
        saves_bytes = now.need_bytes - placement.need_bytes
        after = changed.verdict(placement)
        is_enough = after is Verdict.FITS or (
            verdict is Verdict.DOES_NOT_FIT and after is Verdict.FITS_WITH_OFFLOAD
        )
        if saves_bytes > 0 or is_enough:
            found.append(
                Fix(
                    change=change.text,
                    saves_bytes=max(saves_bytes, 0),
                    costs=change.costs,
                    is_enough=is_enough,
                )
            )
    return tuple(sorted(found, key=lambda fix: (not fix.is_enough, -fix.saves_bytes)))


def _changes(solver: Solver, now: Placement) -> Iterator[_Change]:
    card, n_ctx, max_ctx = solver.card, solver.n_ctx(), solver.max_ctx()
    request = replace(solver.request, n_ctx=n_ctx)
    if not request.uses_flash_attn:
        yield _Change("--flash-attn on", "nothing", replace(request, flash_attn="on"))
    shorter = max_ctx if 0 < max_ctx < n_ctx else n_ctx // 2 // CELL_STEP * CELL_STEP
    if shorter:
        yield _Change(f"--ctx {shorter}", "shorter conversations", replace(request, n_ctx=shorter))
    head_dims = {*card.head_dim_k, *card.head_dim_v}
    for name, costs in (("q8_0", "hardly any precision"), ("q4_0", "some precision")):
        if request.uses_flash_attn and holds(name, head_dims):
            yield _Change(f"--kv {name}", costs, replace(request, type_k=name, type_v=name))
    if request.n_ubatch > 128:
        yield _Change("--ubatch 128", "slower reading of prompts", replace(request, n_ubatch=128))
    yield from _placed_by_the_plan(request, now)


def _placed_by_the_plan(request: PlanRequest, now: Placement) -> Iterator[_Change]:
    """Where the user said how much goes to a GPU: let the plan choose."""
    if request.n_gpu_layers is None and request.n_host_experts is None:
        return
    if all(device.margin_bytes >= 0 for device in now.devices):
        return
    free = replace(request, n_gpu_layers=None, n_host_experts=None)
    given = ("--gpu-layers", request.n_gpu_layers), ("--cpu-moe", request.n_host_experts)
    options = " and ".join(name for name, value in given if value is not None)
    yield _Change(f"without {options}", "speed: the processor does more", free)
