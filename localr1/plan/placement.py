"""Owns what lies where: one model, one context, a number of layers on the GPUs. Pure.

Source: llama.cpp at the pinned version, `get_layer_buft_list` in src/llama-model.cpp: the input
layer stays on the host, the last layers go to the GPUs, spread in proportion to free memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import pairwise

from backends.device import Device, DeviceKind
from localr1.model_card import ModelCard
from localr1.plan.compute import (
    cpu_compute_bytes,
    gpu_compute_bytes,
    output_bytes,
    staging_bytes,
)
from localr1.plan.kv_cache import kv_bytes_per_layer
from localr1.plan.memory_plan import DevicePlan
from localr1.plan.request import HostMemory, PlanRequest
from localr1.plan.weights import HostWeights, gpu_weight_bytes, host_weights
from localr1.units import MIB

# The engine's process beside its buffers, measured on Linux x86-64: interpreter and libraries
# 42 MiB, a tokenizer 170 to 340 bytes per token of the vocabulary, work buffers up to 20 MiB.
_PROCESS_BYTES = (45 * MIB, 128 * MIB)
_VOCABULARY_BYTES = (160, 400)

# Contexts, kernels and memory pools of a driver, as published load logs leave them unexplained.
_DRIVER_BYTES = {DeviceKind.METAL: (0, 150 * MIB)}
_OTHER_DRIVER_BYTES = (250 * MIB, 650 * MIB)


@dataclass(frozen=True, slots=True)
class Placement:
    """Every buffer in its place."""

    devices: tuple[DevicePlan, ...]
    host: DevicePlan
    n_gpu_layers: int

    @property
    def places(self) -> tuple[DevicePlan, ...]:
        """Devices, then the host."""
        return (*self.devices, self.host)

    @property
    def fits(self) -> bool:
        """Whether every place holds what it is given."""
        return self.margin_bytes >= 0

    @property
    def margin_bytes(self) -> int:
        """What the tightest place has left."""
        return min(place.margin_bytes for place in self.places)

    @property
    def need_bytes(self) -> int:
        """Bytes over all places."""
        return sum(place.need_bytes for place in self.places)


class Placer:
    """Places one model on given hardware, for any context and number of offloaded layers."""

    def __init__(
        self, card: ModelCard, request: PlanRequest, gpus: Sequence[Device], host: HostMemory
    ) -> None:
        self._card = card
        self._request = request
        self._gpus = tuple(gpus)
        self._host = host
        # neither depends on how many layers are offloaded, and a search asks for many numbers
        self._on_gpu = lru_cache(partial(gpu_compute_bytes, card, request))
        self._on_cpu = lru_cache(partial(cpu_compute_bytes, card, request))

    def best(self, n_ctx: int) -> Placement:
        """The requested number of layers on the GPUs, or as many as fit; 0 if even one does not."""
        wanted = self._request.n_gpu_layers
        every_layer = self._card.n_layer + 1
        if not self._gpus:
            return self.place(n_ctx, 0)
        if wanted is not None:
            return self.place(n_ctx, min(wanted, every_layer))
        low, high = 0, every_layer
        whole = self.place(n_ctx, high)
        if all(device.margin_bytes >= 0 for device in whole.devices):
            return whole
        while low < high - 1:
            middle = (low + high) // 2
            devices = self.place(n_ctx, middle).devices
            if all(device.margin_bytes >= 0 for device in devices):
                low = middle
            else:
                high = middle
        return self.place(n_ctx, low)

    def place(self, n_ctx: int, n_gpu_layers: int) -> Placement:
        """Exactly `n_gpu_layers` layers on the GPUs, the output layer counted first."""
        kv_bytes = kv_bytes_per_layer(self._card, self._request, n_ctx)
        held = _split(self._card.n_layer, n_gpu_layers, [gpu.free_bytes for gpu in self._gpus])
        devices: list[DevicePlan] = []
        shared_bytes = 0
        for gpu, layers in zip(self._gpus, held, strict=True):
            if layers:
                devices.append(self._device(gpu, layers, kv_bytes, n_ctx))
                # one memory for both: what the GPU holds is gone for the processor
                shared_bytes += devices[-1].need_bytes if gpu.is_unified else 0
        host_layers = range(self._card.n_layer + 1 - n_gpu_layers)
        host = self._host_plan(host_layers, kv_bytes, n_ctx, shared_bytes=shared_bytes)
        return Placement(tuple(devices), host, n_gpu_layers)

    def _device(
        self, gpu: Device, layers: range, kv_bytes: Sequence[int], n_ctx: int
    ) -> DevicePlan:
        return DevicePlan(
            name=gpu.name,
            kind=gpu.kind,
            total_bytes=gpu.total_bytes,
            free_bytes=gpu.free_bytes,
            limit_bytes=gpu.free_bytes,
            weights_bytes=gpu_weight_bytes(self._card, layers),
            kv_bytes=sum(kv_bytes[layer] for layer in layers if layer < self._card.n_layer),
            compute_bytes=self._on_gpu(n_ctx),
            output_bytes=0,
            overhead_bytes=_DRIVER_BYTES.get(gpu.kind, _OTHER_DRIVER_BYTES),
            layers=(layers[0], layers[-1]),
        )

    def _host_plan(
        self, layers: range, kv_bytes: Sequence[int], n_ctx: int, *, shared_bytes: int
    ) -> DevicePlan:
        card, request = self._card, self._request
        weights = self._host_weights(layers)
        lowest, highest = (
            process + vocabulary * card.n_vocab
            for process, vocabulary in zip(_PROCESS_BYTES, _VOCABULARY_BYTES, strict=True)
        )
        compute_bytes = self._on_cpu(n_ctx) if layers else staging_bytes(card, request, n_ctx)
        return DevicePlan(
            name="CPU",
            kind=DeviceKind.CPU,
            total_bytes=self._host.total_bytes,
            free_bytes=self._host.available_bytes,
            limit_bytes=max(self._host.available_bytes - shared_bytes, 0),
            weights_bytes=weights.total_bytes,
            unused_bytes=weights.unused_bytes,
            kv_bytes=sum(kv_bytes[layer] for layer in layers if layer < card.n_layer),
            compute_bytes=compute_bytes,
            output_bytes=output_bytes(card, request),
            overhead_bytes=(lowest, highest),
            layers=(layers[0], layers[-1]) if layers else None,
        )

    def _host_weights(self, layers: range) -> HostWeights:
        # a GPU's own kind of host memory is preferred to repacking
        features = frozenset[str]() if self._gpus else self._host.cpu_features
        return host_weights(self._card, layers, features=features, use_mmap=self._request.use_mmap)


def _split(n_layer: int, n_gpu_layers: int, free_bytes: Sequence[int]) -> list[range]:
    """Layers per GPU, from first to last; the output layer is number `n_layer`."""
    total_bytes = sum(free_bytes) or 1
    bounds, reached_bytes = [n_layer + 1 - n_gpu_layers], 0
    for n_bytes in free_bytes:
        reached_bytes += n_bytes
        # llama.cpp takes the first device whose share of the sum is not used up yet
        bounds.append(bounds[0] + -(-n_gpu_layers * reached_bytes // total_bytes))
    return [range(start, end) for start, end in pairwise(bounds)]
