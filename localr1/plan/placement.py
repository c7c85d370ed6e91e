"""Owns what lies where: one model, one context, and a split between GPUs and host. Pure.

Source: llama.cpp at the pinned version, `get_layer_buft_list` in src/llama-model.cpp: the input
layer stays on the host, the last layers go to the GPUs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

from backends.device import Device, DeviceKind
from localr1.model_facts.card import ModelCard
from localr1.plan.allocations import largest_allocations
from localr1.plan.arena import Peak
from localr1.plan.compute import output_bytes
from localr1.plan.compute_buffers import ComputeBuffers
from localr1.plan.corrected import corrected
from localr1.plan.device_plan import Allocation, DevicePlan
from localr1.plan.engine_version import layers_on_gpus
from localr1.plan.hardware import HOST, Hardware
from localr1.plan.kv_cache import (
    cache_bytes_per_layer,
    kv_bytes_per_layer,
    state_bytes_per_layer,
)
from localr1.plan.offload import Split, best_split, fill_in_order, in_proportion
from localr1.plan.overhead import driver_bytes, process_bytes
from localr1.plan.request import PlanRequest
from localr1.plan.weights import HostWeights, WeightTable, span_bytes
from quant.gguf.contents import TensorInfo


@dataclass(frozen=True, slots=True)
class Placement:
    """Every buffer in its place."""

    devices: tuple[DevicePlan, ...]
    """GPUs that hold at least one layer."""
    idle: tuple[DevicePlan, ...]
    """GPUs that hold none, and are not used at all."""
    host: DevicePlan
    split: Split

    @property
    def places(self) -> tuple[DevicePlan, ...]:
        """Devices, then the host."""
        return (*self.devices, self.host)

    @property
    def fits(self) -> bool:
        """Whether every place holds what it is given."""
        return all(place.fits for place in self.places)

    @property
    def margin_bytes(self) -> int:
        """What the tightest place has left."""
        return min(place.margin_bytes for place in self.places)

    @property
    def need_bytes(self) -> int:
        """Bytes over all places."""
        return sum(place.need_bytes for place in self.places)


class Placer:
    """Places one model on given hardware, for any context and any split."""

    def __init__(self, card: ModelCard, request: PlanRequest, hardware: Hardware) -> None:
        self._card = card
        self._request = request
        self._hardware = hardware
        self.weights = WeightTable(card, request.engine_build)
        self._compute = ComputeBuffers(card, request, hardware)
        self._kv_bytes = lru_cache(partial(kv_bytes_per_layer, card, request))
        self._state_bytes = state_bytes_per_layer(card, request)
        self._has_tensor_above = lru_cache(self._any_tensor_above)
        self._gpu_weights = lru_cache(self._weights_on_gpu)
        self._host_weights = lru_cache(self._weights_on_host)

    def best(self, n_ctx: int) -> Placement:
        """The layers and experts that were asked for on the GPUs, else as much as fits."""
        if not self._hardware.gpus:
            return self.place(n_ctx, Split(()))
        n_all, n_moe = self._card.n_layer + 1, len(self.weights.expert_layers)
        most_experts = self.weights.expert_layers[-1] + 1 if n_moe else 0
        wanted, experts = self._request.n_gpu_layers, self._request.n_host_experts
        n_layers = (0, n_all) if wanted is None else (min(wanted, n_all),) * 2
        n_experts = (0, most_experts) if experts is None else (min(experts, most_experts),) * 2
        found = best_split(partial(self._fit, n_ctx), n_layers=n_layers, n_host_experts=n_experts)
        if found is None:
            found = Split(tuple(self._proportional(n_layers[0])), n_experts[1])
        return self.place(n_ctx, found)

    def may_fit_whole(self, n_ctx: int) -> bool:
        """Whether the GPUs hold all layers and experts; on a machine without any, yes."""
        return not self._hardware.gpus or self._fit(n_ctx, self._card.n_layer + 1, 0) is not None

    def place(self, n_ctx: int, split: Split) -> Placement:
        """Exactly this split."""
        devices = self._devices(n_ctx, split)
        # one memory for both: what the GPU holds is gone for the processor
        unified = {gpu.name for gpu in self._hardware.gpus if gpu.is_unified}
        shared_bytes = sum(device.need_bytes for device in devices if device.name in unified)
        used = {device.name for device in devices}
        idle = tuple(DevicePlan.idle(gpu) for gpu in self._hardware.gpus if gpu.name not in used)
        host = self._corrected(self._host_plan(n_ctx, split, shared_bytes))
        return Placement(devices, idle, host, split)

    def _fit(self, n_ctx: int, n_layers: int, n_host_experts: int) -> Split | None:
        """As llama.cpp would spread that many layers, or filling one GPU after the other.

        Alike GPUs share the work first of all; of unequal ones the fastest takes what it can.
        """
        filled = partial(self._filled, n_ctx, n_host_experts)
        ways: list[Callable[[int], list[int] | None]] = [self._proportional, filled]
        for way in reversed(ways) if self._hardware.has_faster_gpu else ways:
            layers = way(n_layers)
            if layers is not None:
                split = Split(tuple(layers), n_host_experts)
                if self._holds(n_ctx, split):
                    return split
        return None

    def _holds(self, n_ctx: int, split: Split) -> bool:
        """Whether the GPUs do; where they do not hold the rest, no graph is laid out."""
        without_compute = self._devices(n_ctx, split, [Peak(0, 0)] * len(split.layers))
        return all(device.fits for device in without_compute) and all(
            device.fits for device in self._devices(n_ctx, split)
        )

    def _proportional(self, n_layers: int) -> list[int]:
        return in_proportion(n_layers, [gpu.free_bytes for gpu in self._hardware.gpus])

    def _filled(self, n_ctx: int, n_host_experts: int, n_layers: int) -> list[int] | None:
        if len(self._hardware.gpus) == 1:
            return None  # the same as in proportion
        kv_bytes = self._kv_bytes(n_ctx)
        costs = [
            self.weights.gpu_bytes(layer, n_host_experts)
            + _of_layers(kv_bytes, (layer,))
            + _of_layers(self._state_bytes, (layer,))
            for layer in self._on_gpus(n_layers)
        ]
        rooms = [
            gpu.free_bytes - driver_bytes(gpu, self._hardware)[1] for gpu in self._hardware.gpus
        ]
        if fill_in_order(costs, rooms, 0) is None:
            return None
        split = Split(tuple(self._proportional(n_layers)), n_host_experts)
        sizes = [peak.n_bytes for peak in self._compute.on_gpus(n_ctx, split)]
        # the first one in use may borrow what the host keeps, and need more for that
        first = next((i for i, n in enumerate(split.layers) if n), 0)
        compute_bytes = max((*sizes[:first], *sizes[first + 1 :]))
        rooms = [room - compute_bytes for room in rooms]
        return fill_in_order(costs, rooms, max(sizes[first] - compute_bytes, 0))

    def _devices(
        self, n_ctx: int, split: Split, peaks: Sequence[Peak] | None = None
    ) -> tuple[DevicePlan, ...]:
        """What the GPUs hold; `peaks` are those of the split, unless they are given."""
        devices: list[DevicePlan] = []
        start = self._on_gpus(split.n_gpu_layers).start
        peaks = peaks or self._compute.on_gpus(n_ctx, split)
        for gpu, n_layers, peak in zip(self._hardware.gpus, split.layers, peaks, strict=False):
            if n_layers:
                layers = range(start, start + n_layers)
                device = self._device(gpu, layers, n_ctx, split, peak)
                devices.append(self._corrected(device))
                start += n_layers
        return tuple(devices)

    def _device(
        self, gpu: Device, layers: range, n_ctx: int, split: Split, compute: Peak
    ) -> DevicePlan:
        is_mapped = self._is_mapped_by(gpu)
        return DevicePlan(
            name=gpu.name,
            kind=gpu.kind,
            total_bytes=gpu.total_bytes,
            free_bytes=gpu.free_bytes,
            limit_bytes=gpu.free_bytes,
            weights_bytes=self._gpu_weights(layers, split.n_host_experts, is_mapped),
            kv_bytes=_of_layers(self._kv_bytes(n_ctx), layers),
            recurrent_bytes=_of_layers(self._state_bytes, layers),
            compute_bytes=compute.n_bytes,
            output_bytes=0,
            overhead_bytes=driver_bytes(gpu, self._hardware),
            layers=(layers[0], layers[-1]),
            expert_layers_on_host=sum(
                layer in layers and layer < split.n_host_experts
                for layer in self.weights.expert_layers
            ),
            max_alloc_bytes=gpu.max_alloc_bytes,
            largest=self._largest(gpu, layers, n_ctx, split, compute),
        )

    def _largest(
        self, gpu: Device, layers: range, n_ctx: int, split: Split, compute: Peak
    ) -> tuple[Allocation, ...]:
        """What is worth holding against the limit of a driver; most limits are far away."""
        bounds = compute.largest_bytes, max(self._kv_bytes(n_ctx)), max(self._state_bytes)
        if gpu.max_alloc_bytes is None or (
            max(bounds) <= gpu.max_alloc_bytes and not self._has_tensor_above(gpu.max_alloc_bytes)
        ):
            return ()
        return largest_allocations(
            self.weights.of_gpu(layers, split.n_host_experts),
            layers,
            caches=cache_bytes_per_layer(self._card, self._request, n_ctx),
            states=self._state_bytes,
            compute_bytes=compute.largest_bytes,
        )

    def _any_tensor_above(self, n_bytes: int) -> bool:
        return any(tensor.n_bytes > n_bytes for tensor in self._card.tensors)

    def _weights_on_gpu(
        self,
        layers: range,
        n_host_experts: int,
        is_mapped: bool,  # noqa: FBT001 - part of a key
    ) -> int:
        if is_mapped:
            # Metal uses the mapped file itself, with whatever lies between these tensors
            return span_bytes(self.weights.of_gpu(layers, n_host_experts))
        return sum(self.weights.gpu_bytes(layer, n_host_experts) for layer in layers)

    def _weights_on_host(self, split: Split) -> HostWeights:
        return self.weights.host_weights(
            self._on_host(split),
            split.n_host_experts,
            # a GPU's own kind of host memory is preferred to repacking
            features=self._hardware.host.cpu_features if self._hardware.is_remote else frozenset(),
            use_mmap=self._request.use_mmap,
            shared=self._mapped_by_gpus(split),
        )

    def _on_host(self, split: Split) -> tuple[int, ...]:
        on_gpus = self._on_gpus(split.n_gpu_layers)
        return (*range(on_gpus.start), *range(on_gpus.stop, self._card.n_layer + 1))

    def _host_plan(self, n_ctx: int, split: Split, shared_bytes: int) -> DevicePlan:
        card, request = self._card, self._request
        on_gpus = self._on_gpus(split.n_gpu_layers)
        shown = range(on_gpus.start) or range(on_gpus.stop, card.n_layer + 1)
        layers, weights = self._on_host(split), self._host_weights(split)
        return DevicePlan(
            name=HOST,
            kind=DeviceKind.CPU,
            total_bytes=self._hardware.host.total_bytes,
            free_bytes=self._hardware.host.available_bytes,
            limit_bytes=max(self._hardware.host.available_bytes - shared_bytes, 0),
            weights_bytes=weights.total_bytes,
            unused_bytes=weights.unused_bytes,
            kv_bytes=_of_layers(self._kv_bytes(n_ctx), layers),
            recurrent_bytes=_of_layers(self._state_bytes, layers),
            compute_bytes=self._compute.host_bytes(n_ctx, split),
            output_bytes=output_bytes(card, request),
            overhead_bytes=process_bytes(card.n_vocab, self._hardware),
            layers=(shown[0], shown[-1]) if shown else None,
        )

    def _corrected(self, place: DevicePlan) -> DevicePlan:
        return corrected(place, self._hardware.of(place.name).factors, self._card, self._request)

    def _is_mapped_by(self, gpu: Device) -> bool:
        return gpu.kind is DeviceKind.METAL and self._request.use_mmap

    def _mapped_by_gpus(self, split: Split) -> list[TensorInfo]:
        if not any(map(self._is_mapped_by, self._hardware.gpus)):
            return []
        return self.weights.of_gpu(self._on_gpus(split.n_gpu_layers), split.n_host_experts)

    def _on_gpus(self, n_layers: int) -> range:
        return layers_on_gpus(n_layers, self._card.n_layer, self._request.engine_build)


def _of_layers(n_bytes: Sequence[int], layers: Iterable[int]) -> int:
    """The sum over some layers; the output layer, which comes after all blocks, has nothing."""
    if isinstance(layers, range):
        return sum(n_bytes[layers.start : layers.stop])
    return sum(n_bytes[layer] for layer in layers if layer < len(n_bytes))
