"""Owns the estimate of speed: what each place does for a token, at the prices of that place. Pure.

Places work one after the other, so their times add up, and so do hand-overs between them. A prompt
is computed in batches: its operations count, and for weights that the host keeps, the way to the
GPU. Estimates are ranges and stay so; nothing here is measured.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from backends.device import DeviceKind
from localr1.model_facts.card import ModelCard
from localr1.plan.hardware import HOST, Hardware
from localr1.plan.memory_plan import Speed
from localr1.plan.placement import Placement
from localr1.plan.rate import Range, Rate
from localr1.plan.request import PlanRequest
from localr1.plan.token_work import PlaceWork, TokenWork
from localr1.plan.weights import WeightTable

_ENDS = (0, 1)  # slow, fast


@dataclass(frozen=True, slots=True)
class _Link:
    """How states of a token come from one place to another: slow, fast."""

    bytes_per_s: Range
    handover_s: Range


# PCI Express 3.0 x8 to 4.0 x16 as copies reach it
_BUS = _Link((6e9, 25e9), (50e-6, 10e-6))
# 1 to 10 Gbit/s, and one way of a message: the graph is sent once, then states go there and back
# (ggml/src/ggml-rpc/ggml-rpc.cpp); not measured here
_NETWORK = _Link((110e6, 1.1e9), (500e-6, 50e-6))


@dataclass(frozen=True, slots=True)
class _Place:
    """One place that computes."""

    name: str
    rate: Rate
    work: PlaceWork
    kept_bytes: int
    """All its weights, those of idle experts included."""


def estimate(
    placement: Placement,
    *,
    card: ModelCard,
    request: PlanRequest,
    weights: WeightTable,
    hardware: Hardware,
    n_ctx: int,
) -> Speed | None:
    """The speed of a placement; None if the rate of a place that computes is not known."""
    needs = TokenWork(card, request, n_ctx)
    places = _places(placement, needs, weights, hardware)
    if places is None:
        return None
    n_handovers = _handovers(placement, hardware)
    chooser = hardware.of(HOST).rate or places[-1].rate
    choosing_s = [prices.choosing_s(card.n_vocab) for prices in chooser.ends]

    def per_second(n_past: int) -> Range:
        slow_s, fast_s = (
            choosing_s[end]
            + _handing_s(n_handovers, 1, card.n_embd, end)
            + sum(needs.token_s(place.work, place.rate.ends[end], n_past) for place in places)
            for end in _ENDS
        )
        return 1 / slow_s, 1 / fast_s

    return Speed(
        decode_tokens_per_s=per_second(0),
        full_decode_tokens_per_s=per_second(n_ctx),
        prefill_tokens_per_s=_prefill(places, needs, hardware, n_handovers, card.n_embd),
        bound_by=_bound(places, needs, n_handovers, card.n_embd),
    )


def _places(
    placement: Placement, needs: TokenWork, weights: WeightTable, hardware: Hardware
) -> list[_Place] | None:
    n_host_experts = placement.split.n_host_experts
    parts = [
        (device.name, weights.of_gpu(device.held_layers, n_host_experts), device.held_layers)
        for device in placement.devices
    ]
    host_layers = placement.host.held_layers
    on_host = weights.read_on_host(host_layers, n_host_experts)
    if on_host:
        parts.append((HOST, on_host, host_layers))
    places = []
    for name, tensors, layers in parts:
        rate = hardware.of(name).rate
        if rate is None:
            return None
        kept_bytes = sum(tensor.n_bytes for tensor in tensors)
        work = needs.of(tensors, layers, is_fused=name != HOST)
        places.append(_Place(name, rate, work, kept_bytes))
    return places


def _handovers(placement: Placement, hardware: Hardware) -> Counter[_Link]:
    """How often states change places for one batch, by the link that they take.

    Each device is handed them once, and twice more for each layer whose experts the host has. A
    server in the network hands its result back.
    """
    remote = {gpu.name for gpu in hardware.gpus if gpu.kind is DeviceKind.RPC}
    n_handovers: Counter[_Link] = Counter()
    for device in placement.devices:
        is_remote = device.name in remote
        n_handovers[_NETWORK if is_remote else _BUS] += (
            1 + is_remote + 2 * device.expert_layers_on_host
        )
    return n_handovers


def _handing_s(n_handovers: Counter[_Link], n_tokens: int, n_embd: int, end: int) -> float:
    """Seconds of all hand-overs of a batch, float32 states."""
    n_bytes = 4 * n_embd * n_tokens
    return sum(
        count * (link.handover_s[end] + n_bytes / link.bytes_per_s[end])
        for link, count in n_handovers.items()
    )


def _bound(
    places: Sequence[_Place], needs: TokenWork, n_handovers: Counter[_Link], n_embd: int
) -> str:
    """The longest part of a token's time, in the middle of the ranges."""
    parts = {
        "hand-overs between places": sum(_handing_s(n_handovers, 1, n_embd, end) for end in _ENDS)
    }
    for place in places:
        name = "system memory" if place.name == HOST else place.name
        ends = place.rate.ends
        reading_s = sum(needs.reading_s(place.work, prices) for prices in ends)
        working_s = sum(place.work.n_operations * prices.operation_s for prices in ends)
        parts[f"memory bandwidth of {name}"] = reading_s
        parts[f"work per layer on {name}"] = working_s
    return max(parts, key=lambda part: parts[part])


def _prefill(
    places: Sequence[_Place],
    needs: TokenWork,
    hardware: Hardware,
    n_handovers: Counter[_Link],
    n_embd: int,
) -> Range | None:
    """Tokens per second of the first batch of a prompt."""
    borrower = next((place for place in places if _borrows(place.name, hardware)), None)
    per_second = []
    for end in _ENDS:
        seconds = _handing_s(n_handovers, needs.n_batch, n_embd, end)
        for place in places:
            rate = place.rate
            if place.name == HOST and borrower is not None:
                # a GPU computes long batches with the host's weights as well
                rate = borrower.rate
                if not any(gpu.is_unified for gpu in hardware.gpus):
                    seconds += place.kept_bytes / _BUS.bytes_per_s[end]
            work_s = needs.prompt_s(place.work, rate.ends[end])
            if work_s is None:
                return None
            seconds += work_s
        per_second.append(needs.n_batch / seconds)
    return per_second[0], per_second[1]


def _borrows(name: str, hardware: Hardware) -> bool:
    return any(gpu.name == name and gpu.kind is not DeviceKind.RPC for gpu in hardware.gpus)
