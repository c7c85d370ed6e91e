"""No plan may put more on a device than it holds, and none may leave out a step that fits."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace

import pytest

from backends.device import Device, DeviceKind
from localr1.model_facts.card import ModelCard
from localr1.plan.compute_buffers import ComputeBuffers
from localr1.plan.device_plan import DevicePlan
from localr1.plan.hardware import Hardware
from localr1.plan.kv_cache import CELL_STEP, cache_bytes_per_layer, padded_cells
from localr1.plan.memory_plan import MemoryPlan, Verdict
from localr1.plan.offload import Split
from localr1.plan.placement import Placer
from localr1.plan.planner import make_plan
from localr1.plan.request import HostMemory, PlanRequest
from localr1.plan.weights import is_expert, layer_of
from localr1.units import GIB, MIB
from tests.support.plan_models import Shape, card_of

_N_CASES = 200
_N_GROUPS = 10


def _random_card(dice: random.Random) -> ModelCard:
    n_head_kv = dice.choice((1, 2, 4, 8))
    n_expert = dice.choice((0, 0, 8, 32, 128))
    return card_of(
        Shape(
            arch="qwen3moe" if n_expert else dice.choice(("llama", "qwen2")),
            n_layer=dice.randint(1, 48),
            n_embd=256 * dice.randint(2, 20),
            n_head=n_head_kv * dice.choice((1, 4, 8)),
            n_head_kv=n_head_kv,
            head_dim=dice.choice((64, 128)),
            n_ff=256 * dice.randint(4, 60),
            n_vocab=dice.choice((32_000, 128_256, 151_936)),
            n_ctx_train=dice.choice((2048, 8192, 32_768, 131_072)),
            type_name=dice.choice(("Q4_K", "Q8_0", "F16")),
            is_tied=dice.random() < 0.3,
            n_expert=n_expert,
            n_expert_used=min(n_expert, 8),
            n_ff_expert=256 * dice.randint(1, 6),
        )
    )


def _random_request(dice: random.Random) -> PlanRequest:
    type_k = dice.choice(("f16", "q8_0", "q4_0"))
    return PlanRequest(
        n_ctx=dice.choice((None, "max", 512, 4096, 20_000)),
        n_ubatch=dice.choice((16, 128, 512)),
        type_k=type_k,
        type_v=type_k,
        swa_full=dice.random() < 0.2,
        n_gpu_layers=dice.choice((None, None, None, 3)),
        n_host_experts=dice.choice((None, None, None, 2)),
        use_mmap=dice.random() < 0.8,
    )


def _random_machine(dice: random.Random) -> tuple[tuple[Device, ...], HostMemory]:
    ram_bytes = dice.randint(2, 64) * GIB
    host = HostMemory(
        total_bytes=ram_bytes, available_bytes=ram_bytes, cpu_features=frozenset({"avx2"})
    )
    kind = dice.choice(
        (DeviceKind.CPU, DeviceKind.CUDA, DeviceKind.CUDA, DeviceKind.METAL, DeviceKind.VULKAN)
    )
    if kind is DeviceKind.CPU:
        return (), host
    if kind is DeviceKind.METAL:
        return (Device("Metal", kind, "", ram_bytes, ram_bytes * 2 // 3, is_unified=True),), host
    sizes = [dice.randint(1, 24 * 1024) * MIB for _ in range(dice.choice((1, 1, 2, 3)))]
    max_alloc_bytes = dice.randint(16, 4096) * MIB if kind is DeviceKind.VULKAN else None
    buffer_bytes = None if max_alloc_bytes is None else min(max_alloc_bytes, GIB)
    devices = (
        Device(
            f"GPU{i}",
            kind,
            "",
            size,
            size,
            buffer_bytes=buffer_bytes,
            max_alloc_bytes=max_alloc_bytes,
        )
        for i, size in enumerate(sizes)
    )
    return tuple(devices), host


def _parts_of_compute(
    card: ModelCard, plan: MemoryPlan, devices: tuple[Device, ...], host: HostMemory
) -> dict[str, int]:
    """The largest part of the compute buffer of each GPU, in bytes."""
    gpus = tuple(sorted(devices, key=lambda device: -device.free_bytes))
    buffers = ComputeBuffers(card, plan.request, Hardware(gpus=gpus, host=host))
    peaks = buffers.on_gpus(plan.n_ctx, plan.split)
    return {gpu.name: peak.largest_bytes for gpu, peak in zip(gpus, peaks, strict=False)}


def _is_within_devices(plan: MemoryPlan, parts: Mapping[str, int]) -> bool:
    has_room = all(place.need_bytes <= place.limit_bytes for place in plan.places)
    return has_room and not any(
        max(_largest_piece_bytes(plan, device), parts[device.name]) > device.max_alloc_bytes
        for device in plan.devices
        if device.max_alloc_bytes is not None
    )


def _largest_piece_bytes(plan: MemoryPlan, device: DevicePlan) -> int:
    """Of all that the device keeps, each in one piece: tensors, and caches of layers."""
    card, in_host_memory = plan.card, plan.split.n_host_experts
    weights = [
        tensor.n_bytes
        for tensor in card.tensors
        if (layer := layer_of(tensor, card.n_layer)) in device.held_layers
        and not (is_expert(tensor) and layer is not None and layer < in_host_memory)
    ]
    caches = cache_bytes_per_layer(card, plan.request, plan.n_ctx)
    held = [layer for layer in device.held_layers if layer < card.n_layer]
    kept = [n_bytes for layer in held for n_bytes in caches[layer]]
    return max((*weights, *kept))


@pytest.mark.parametrize("group", range(_N_GROUPS))
def test_no_device_is_overfull_and_no_step_is_left_out(group: int) -> None:
    for case in range(group, _N_CASES, _N_GROUPS):
        dice = random.Random(case)  # noqa: S311 - dice, no secret
        card, request = _random_card(dice), _random_request(dice)
        devices, host = _random_machine(dice)

        plan = make_plan(card, request, devices, host)

        parts = _parts_of_compute(card, plan, devices, host)
        assert _is_within_devices(plan, parts) == (plan.verdict is not Verdict.DOES_NOT_FIT), case
        assert sum(plan.split.layers) == plan.n_gpu_layers <= card.n_layer + 1, case
        _check_layers_are_all_somewhere(card, plan)
        if plan.verdict is Verdict.FITS_WITH_OFFLOAD:
            _check_no_step_more_fits(card, request, plan, devices, host)
        if request.n_ctx == "max" and plan.max_ctx:
            _check_no_longer_context_fits(card, request, plan, devices, host)


def _check_layers_are_all_somewhere(card: ModelCard, plan: MemoryPlan) -> None:
    held = [layer for place in plan.places for layer in place.held_layers]
    assert sorted(held) == list(range(card.n_layer + 1))


def _check_no_step_more_fits(
    card: ModelCard,
    request: PlanRequest,
    plan: MemoryPlan,
    devices: tuple[Device, ...],
    host: HostMemory,
) -> None:
    """One more layer, or one more layer's experts, on any GPU: some GPU must then be overfull."""
    gpus = sorted(devices, key=lambda device: -device.free_bytes)
    placer = Placer(card, request, Hardware(gpus=tuple(gpus), host=host))
    split = plan.split
    steps = []
    if request.n_gpu_layers is None and split.n_gpu_layers <= card.n_layer:
        steps += [
            replace(
                split,
                layers=tuple(n + (i == chosen) for i, n in enumerate(split.layers)),
            )
            for chosen in range(len(split.layers))
        ]
    if request.n_host_experts is None and any(p.expert_layers_on_host for p in plan.devices):
        steps.append(Split(split.layers, split.n_host_experts - 1))
    for step in steps:
        placed = placer.place(plan.n_ctx, step)
        assert not all(device.fits for device in placed.devices), (plan.split, step)


def _check_no_longer_context_fits(
    card: ModelCard,
    request: PlanRequest,
    plan: MemoryPlan,
    devices: tuple[Device, ...],
    host: HostMemory,
) -> None:
    assert plan.n_ctx == plan.max_ctx
    if plan.n_ctx >= padded_cells(card.n_ctx_train):
        return
    longer = make_plan(card, replace(request, n_ctx=plan.n_ctx + CELL_STEP), devices, host)
    assert longer.verdict is not plan.verdict
