"""Owns the answer: one model, one request and one machine become a `MemoryPlan`. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from backends.device import Device
from backends.errors import UnsupportedParametersError
from localr1.model_facts.card import ModelCard
from localr1.plan.decoder_graph import VERIFIED_ARCHITECTURES
from localr1.plan.fixes import find_fixes
from localr1.plan.hardware import Hardware, Known, choose_hardware
from localr1.plan.kv_cache import (
    CELL_STEP,
    holds,
    kv_bytes_per_layer,
    n_rows_of_cells,
    padded_cells,
)
from localr1.plan.ledger import notes
from localr1.plan.memory_plan import Fix, MemoryPlan, Verdict
from localr1.plan.placement import Placement
from localr1.plan.request import HostMemory, PlanRequest
from localr1.plan.solver import Solver
from localr1.plan.speed import estimate

_KV_TYPES = ("f16", "q8_0", "q4_0")  # most exact first


def make_plan(
    card: ModelCard,
    request: PlanRequest,
    devices: Sequence[Device],
    host: HostMemory,
    known: Mapping[str, Known] = MappingProxyType({}),
    *,
    with_fixes: bool = True,
) -> MemoryPlan:
    """The memory plan of one model on this hardware; `known` is by the names of the devices.

    `with_fixes` also plans what would help, which takes longer than the plan.
    Raises: UnsupportedParametersError for cache types that cannot hold this model, and for more
    sequences than there is context for; DeviceNotFoundError if the request names a device that is
    not there.
    """
    hardware = choose_hardware(devices, host, known, request.device)
    solver = _solver(card, request, hardware)
    request, n_ctx = solver.request, solver.n_ctx()
    _require_cells(request, n_ctx)
    placement = solver.placement(n_ctx)
    verdict, max_ctx = solver.verdict(placement), solver.max_ctx()
    fixes: tuple[Fix, ...] = ()
    if with_fixes and verdict is not Verdict.FITS:
        fixes = find_fixes(solver, placement)
    return MemoryPlan(
        card=card,
        request=request,
        n_ctx=n_ctx,
        split=placement.split,
        devices=placement.devices,
        idle=placement.idle,
        host=placement.host,
        kv_bytes_per_token=_kv_bytes_per_token(card, request),
        verdict=verdict,
        failing_stage=next((p.failing_stage for p in placement.places if p.failing_stage), None),
        margin_bytes=placement.margin_bytes,
        fixes=fixes,
        max_ctx=max_ctx,
        speed=estimate(
            placement,
            card=card,
            request=request,
            weights=solver.placer.weights,
            hardware=hardware,
            n_ctx=n_ctx,
        ),
        notices=tuple(_notices(card, request, n_ctx, placement)),
    )


def _solver(card: ModelCard, request: PlanRequest, hardware: Hardware) -> Solver:
    """The request itself, or with the most exact cache types that give the best verdict."""
    if not request.picks_kv:
        return Solver(card, request, hardware)
    head_dims = {*card.head_dim_k, *card.head_dim_v}
    names = [name for name in _KV_TYPES if holds(name, head_dims)]
    if not request.uses_flash_attn:
        names = names[:1]
    solvers = [Solver(card, replace(request, type_k=name, type_v=name), hardware) for name in names]
    for wanted in (Verdict.FITS, Verdict.FITS_WITH_OFFLOAD):
        for solver in solvers:
            if solver.verdict(solver.placement(solver.n_ctx())) is wanted:
                return solver
    return solvers[-1]


def _require_cells(request: PlanRequest, n_ctx: int) -> None:
    if n_ctx < n_rows_of_cells(request):
        raise UnsupportedParametersError(
            f"a context of {n_ctx} tokens is too short for {request.n_seq_max} sequences",
            hint="each needs a part of it: ask for a longer context, or for fewer sequences",
        )


def _kv_bytes_per_token(card: ModelCard, request: PlanRequest) -> int:
    """Bytes each further token of context costs once the sliding windows are full."""
    everywhere = replace(request, n_seq_max=1, swa_full=True)
    per_layer = kv_bytes_per_layer(card, everywhere, CELL_STEP)
    growing = (
        n_bytes
        for n_bytes, is_swa in zip(per_layer, card.is_swa, strict=True)
        if request.swa_full or not is_swa
    )
    return sum(growing) // CELL_STEP


def _notices(card: ModelCard, request: PlanRequest, n_ctx: int, placement: Placement) -> list[str]:
    notices = [f"not sized yet: {what.value}" for what in card.unplanned]
    notices += notes({place.name: place.corrections for place in placement.places})
    if card.arch not in VERIFIED_ARCHITECTURES:
        notices.append(f"the compute buffer of {card.arch} is taken to be like llama's")
    if isinstance(request.n_ctx, int) and n_ctx != request.n_ctx:
        notices.append(f"llama.cpp rounds a context of {request.n_ctx} tokens up to {n_ctx}")
    if n_ctx > padded_cells(card.n_ctx_train):
        notices.append(f"the model was trained on {card.n_ctx_train} tokens, the context is longer")
    if placement.devices:
        notices.append("buffers on a GPU follow the same formulas, but were not measured on one")
    return notices
