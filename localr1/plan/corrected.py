"""Owns multiplying the sizes of a plan by what earlier loads on this machine say. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from localr1.model_facts.card import ModelCard
from localr1.plan.device_plan import DevicePlan
from localr1.plan.ledger import Correction, Factor, What
from localr1.plan.request import PlanRequest

PROCESS = "process"
"""The upper end of what the engine's process takes beside its buffers."""

BUFFERS = ("weights", "kv", "recurrent", "compute", "output")
"""What llama.cpp's log tells apart."""


def corrected(
    place: DevicePlan, factors: Mapping[What, Factor], card: ModelCard, request: PlanRequest
) -> DevicePlan:
    """The place with what its kind of device really takes; it remembers what the formulas say."""
    if not factors or request.engine_build is not None:
        return place  # nothing was learned, or of another version than is planned
    changes: dict[str, Any] = {}
    corrections = []
    for purpose in (*BUFFERS, PROCESS):
        factor = factors.get(subject(purpose, card, request))
        planned_bytes = size_of(place, purpose)
        if factor is None or not planned_bytes:
            continue
        n_bytes = round(planned_bytes * factor.value)
        if purpose == PROCESS:
            lowest = place.overhead_bytes[0]
            changes["overhead_bytes"] = (lowest, max(lowest, n_bytes))
        else:
            changes[f"{purpose}_bytes"] = n_bytes
        corrections.append(Correction(purpose, planned_bytes, factor))
    return replace(place, **changes, corrections=tuple(corrections))


def subject(purpose: str, card: ModelCard, request: PlanRequest) -> What:
    """What a factor is learned for."""
    cache = f"{request.type_k}/{request.type_v}"
    attention = "flash attention" if request.uses_flash_attn else "no flash attention"
    settings = {"weights": card.quant, "kv": cache, "compute": f"{attention}, {cache}"}
    return What(arch=card.arch, purpose=purpose, setting=settings.get(purpose, ""))


def size_of(place: DevicePlan, purpose: str) -> int:
    """The planned bytes of one purpose."""
    if purpose == PROCESS:
        return place.overhead_bytes[1]
    n_bytes: int = getattr(place, f"{purpose}_bytes")
    return n_bytes


def formula_bytes(place: DevicePlan, purpose: str) -> int:
    """The same without any correction."""
    uncorrected = {item.purpose: item.planned_bytes for item in place.corrections}
    return uncorrected.get(purpose, size_of(place, purpose))
