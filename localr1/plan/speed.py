"""Owns the estimate of speed: bytes that each token reads, over the rate at which they come. Pure.

A token reads every weight that takes part in it once, of a mixture of experts those of the experts
it uses, and the KV cache as far as it is filled. Places work one after the other, so their times
add up. A prompt is computed in batches: its operations count, and for weights that the host keeps,
the way to the GPU. Estimates are ranges and stay so; nothing here is measured.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from localr1.model_facts.card import ModelCard
from localr1.plan.hardware import HOST, Hardware, Range, Rate
from localr1.plan.kv_cache import (
    effective_ubatch,
    kv_bytes_per_layer,
    n_cells,
    state_bytes_per_layer,
)
from localr1.plan.memory_plan import Speed
from localr1.plan.placement import Placement
from localr1.plan.request import PlanRequest
from localr1.plan.weights import WeightTable, is_expert, only_drafts
from quant.gguf.contents import TensorInfo

# PCI Express 3.0 x8 to 4.0 x16 as copies reach it, and a hand-over between two devices
_LINK_BYTES_PER_S: Range = (6e9, 25e9)
_HANDOVER_S: Range = (10e-6, 50e-6)


@dataclass(frozen=True, slots=True)
class _Work:
    """What one place does for each token."""

    name: str
    rate: Rate
    tensors: Sequence[TensorInfo]
    layers: Sequence[int]
    n_layers: int
    """Layers that start here, those of which only the experts are here included."""


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
    works = _works(placement, weights, hardware)
    if works is None:
        return None
    reader = _Reader(card, request, n_ctx, works)
    n_handovers = len(works) - 1 + 2 * sum(d.expert_layers_on_host for d in placement.devices)
    empty = [reader.token_s(work, 0) for work in works]
    full = [reader.token_s(work, n_ctx) for work in works]
    return Speed(
        decode_tokens_per_s=_per_second(empty, n_handovers),
        full_decode_tokens_per_s=_per_second(full, n_handovers),
        prefill_tokens_per_s=reader.prefill(works, hardware),
        bound_by=reader.bound(works, n_handovers),
    )


def _works(placement: Placement, weights: WeightTable, hardware: Hardware) -> list[_Work] | None:
    works = []
    k = placement.split.n_host_experts
    for device in placement.devices:
        layers, rate = device.held_layers, hardware.of(device.name).rate
        if rate is None:
            return None
        works.append(_Work(device.name, rate, weights.of_gpu(layers, k), layers, len(layers)))
    host_layers = placement.host.held_layers
    tensors = weights.read_on_host(host_layers, k)
    if tensors:
        rate = hardware.of(HOST).rate
        if rate is None:
            return None
        n_layers = len(host_layers) + sum(d.expert_layers_on_host for d in placement.devices)
        works.append(_Work(HOST, rate, tensors, host_layers, n_layers))
    return works


class _Reader:
    """Counts what one model reads and computes, in one request."""

    def __init__(
        self, card: ModelCard, request: PlanRequest, n_ctx: int, works: Iterable[_Work]
    ) -> None:
        self._card = card
        self._n_tokens = effective_ubatch(request, n_ctx)
        self._kv_bytes = kv_bytes_per_layer(card, request, n_ctx)
        full, windowed = (
            n_cells(card, request, n_ctx, is_swa=is_swa) * request.n_seq_max
            for is_swa in (False, True)
        )
        self._cells = [windowed if is_swa else full for is_swa in card.is_swa]
        self._state_bytes = state_bytes_per_layer(card, request)
        experts = card.experts
        self._active = experts.n_used / experts.n_expert if experts else 1.0
        self._read_bytes = {work.name: self._by_type(work.tensors) for work in works}

    def token_s(self, work: _Work, n_past: int) -> Range:
        """Seconds of one token with `n_past` tokens in the cache: slowest, fastest."""
        cache_bytes = self._cache_bytes(work, n_past)
        slow, fast = (
            self._reading_s(work, cache_bytes, end) + work.n_layers * work.rate.layer_s[1 - end]
            for end in (0, 1)
        )
        return slow, fast

    def bound(self, works: Iterable[_Work], n_handovers: int) -> str:
        """The longest part of a token's time, in the middle of the ranges."""
        parts = {"hand-overs between host and GPU": n_handovers * math.fsum(_HANDOVER_S) / 2}
        for work in works:
            place = "system memory" if work.name == HOST else work.name
            cache_bytes = self._cache_bytes(work, 0)
            slow_s, fast_s = (self._reading_s(work, cache_bytes, end) for end in (0, 1))
            reading_s = (slow_s + fast_s) / 2
            parts[f"memory bandwidth of {place}"] = reading_s
            parts[f"work per layer on {place}"] = work.n_layers * math.fsum(work.rate.layer_s) / 2
        return max(parts, key=lambda part: parts[part])

    def prefill(self, works: Sequence[_Work], hardware: Hardware) -> Range | None:
        """Tokens per second of a long prompt."""
        gpus = [work for work in works if work.name != HOST]
        # with a GPU, weights of the host are copied to it: it computes everything
        computing = gpus or works
        streamed = [work for work in works if gpus and work.name == HOST]
        is_unified = any(gpu.is_unified for gpu in hardware.gpus)
        slow_s = fast_s = 0.0
        for work in computing:
            if work.rate.flops is None:
                return None
            here = [*work.tensors]
            if work is computing[0]:
                here += [tensor for other in streamed for tensor in other.tensors]
            operations = 2 * self._n_tokens * sum(map(self._active_items, here))
            slow_s += operations / work.rate.flops[0]
            fast_s += operations / work.rate.flops[1]
        if not is_unified:
            copied_bytes = sum(t.n_bytes for work in streamed for t in work.tensors)
            slow_s += copied_bytes / _LINK_BYTES_PER_S[0]
            fast_s += copied_bytes / _LINK_BYTES_PER_S[1]
        return self._n_tokens / slow_s, self._n_tokens / fast_s

    def _reading_s(self, work: _Work, cache_bytes: float, end: int) -> float:
        rate = work.rate
        weights_s = sum(
            n_bytes / rate.weight_bytes_per_s.get(type_name, rate.bytes_per_s)[end]
            for type_name, n_bytes in self._read_bytes[work.name].items()
        )
        return weights_s + cache_bytes / rate.bytes_per_s[end]

    def _cache_bytes(self, work: _Work, n_past: int) -> float:
        return sum(
            # a state is written back for every token, of the cache one more row is
            self._kv_bytes[layer] * min(n_past / self._cells[layer], 1)
            + 2 * self._state_bytes[layer]
            for layer in work.layers
            if layer < self._card.n_layer
        )

    def _by_type(self, tensors: Iterable[TensorInfo]) -> Mapping[str, float]:
        """Bytes of weights that each token reads, by their type."""
        n_bytes: defaultdict[str, float] = defaultdict(float)
        for tensor in tensors:
            n_bytes[tensor.type_name] += tensor.n_bytes * self._share(tensor)
        return n_bytes

    def _active_items(self, tensor: TensorInfo) -> float:
        return math.prod(tensor.dims) * self._share(tensor)

    def _share(self, tensor: TensorInfo) -> float:
        """How much of a tensor one token reads."""
        if only_drafts(tensor, self._card.n_layer):
            return 0.0
        return self._active if is_expert(tensor) else 1.0


def _per_second(times: Iterable[Range], n_handovers: int) -> Range:
    slow_s, fast_s = (n_handovers * seconds for seconds in reversed(_HANDOVER_S))
    for slow, fast in times:
        slow_s += slow
        fast_s += fast
    return 1 / slow_s, 1 / fast_s
