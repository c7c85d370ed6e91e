"""Rates that make arithmetic easy to follow, and plans on devices that have them."""

from __future__ import annotations

from typing import Any

from backends.device import Device, DeviceKind
from localr1.model_facts.card import ModelCard
from localr1.plan.hardware import Known
from localr1.plan.memory_plan import MemoryPlan, Speed
from localr1.plan.planner import make_plan
from localr1.plan.rate import Prices, Rate, WeightPrice
from localr1.plan.request import HostMemory, PlanRequest
from localr1.units import GIB

HOST_MEMORY = HostMemory(total_bytes=128 * GIB, available_bytes=128 * GIB)


def rate_of(slow: float, fast: float, **both: Any) -> Rate:
    """So many bytes a second, and twenty times as many operations; other prices at both ends."""
    ends = [
        Prices(weights=WeightPrice(byte_s=1 / rate, flop_s=1 / rate / 20), **both)
        for rate in (slow, fast)
    ]
    return Rate(slow=ends[0], fast=ends[1], source="a test")


RATE = rate_of(50e9, 100e9)
FAST = rate_of(500e9, 1000e9)


def gpu(free_bytes: int, name: str = "CUDA0") -> Device:
    """A card with that much memory, all of it free."""
    return Device(name, DeviceKind.CUDA, "a card", free_bytes, free_bytes)


def plan_on(card: ModelCard, *gpus: Device, **rates: Rate) -> MemoryPlan:
    """A plan for 4096 tokens; `rates` by the names of the devices, `CPU` is the host."""
    known = {name: Known(rate=rate) for name, rate in rates.items()}
    return make_plan(card, PlanRequest(n_ctx=4096), gpus, HOST_MEMORY, known)


def speed_on(card: ModelCard, *gpus: Device, **rates: Rate) -> Speed:
    """The speed of that plan."""
    speed = plan_on(card, *gpus, **rates).speed
    assert speed is not None
    return speed


def read_bytes(card: ModelCard) -> int:
    """All weights of an untied model but the embedding."""
    return sum(tensor.n_bytes for tensor in card.tensors if tensor.name != "token_embd.weight")
