"""What GPUs reserve beside the result of flash attention, worked out by hand from ggml's source."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backends.cache_types import cache_type
from backends.device import Device, DeviceKind
from localr1.plan.attention_scratch import scratch_of
from localr1.plan.graph import ALL_CELLS, WINDOWED_CELLS, Attended
from localr1.plan.planner import make_plan
from localr1.plan.request import HostMemory, PlanRequest
from localr1.units import GIB
from tests.support.plan_cards import qwen_7b

_CELLS = (131_072, 1024)
_LLAMA_8B = Attended(
    cells=ALL_CELLS,
    n_rows=1,
    n_tokens=512,
    n_head=32,
    n_head_kv=8,
    dim_k=128,
    dim_v=128,
    type_k=cache_type("q8_0"),
    type_v=cache_type("q8_0"),
)
_HALF = replace(_LLAMA_8B, type_k=cache_type("f16"), type_v=cache_type("f16"))


def _scratch(kind: DeviceKind, of: Attended) -> int:
    scratch = scratch_of(kind)
    return 0 if scratch is None else scratch(of, _CELLS)


@pytest.mark.parametrize("kind", [DeviceKind.CUDA, DeviceKind.ROCM])
def test_cuda_copies_a_quantised_layer_in_half_precision(kind: DeviceKind) -> None:
    one_side = 131_072 * 8 * 128 * 2 + 128  # cells, heads, numbers, bytes, alignment

    assert _scratch(kind, _LLAMA_8B) == 2 * one_side
    assert _scratch(kind, replace(_LLAMA_8B, type_v=cache_type("f16"))) == one_side
    assert _scratch(kind, replace(_LLAMA_8B, values_are_keys=True)) == one_side
    assert _scratch(kind, replace(_LLAMA_8B, cells=WINDOWED_CELLS)) == 2 * (one_side >> 7) + 254
    assert _scratch(kind, _HALF) == 0


def test_cuda_copies_nothing_for_single_tokens() -> None:
    assert _scratch(DeviceKind.CUDA, replace(_LLAMA_8B, n_tokens=1)) == 0


def test_metal_copies_a_layer_whatever_its_type() -> None:
    copies = 2 * 131_072 * 8 * 128 * 2
    blocks = (131_072 // 64) * (512 // 8)
    partial_results = 32 * 32 * 32 * (128 + 2) * 4
    masks = 64 * 512 * 2

    half_ends = 64 * 2 * (8 * 128 * 2) * 8  # the stride is that of all heads
    quantised_ends = 64 * 2 * (128 * 2) * 8  # the copy's heads lie apart
    rest = copies + blocks + partial_results + masks

    assert _scratch(DeviceKind.METAL, _HALF) == rest + half_ends
    assert _scratch(DeviceKind.METAL, _LLAMA_8B) == rest + quantised_ends


@pytest.mark.parametrize("kind", [DeviceKind.VULKAN, DeviceKind.SYCL, DeviceKind.RPC])
def test_others_reserve_nothing(kind: DeviceKind) -> None:
    assert _scratch(kind, _LLAMA_8B) == 0


def _compute_bytes(kind: DeviceKind, request: PlanRequest) -> int:
    gpu = Device("GPU0", kind, "a card", 64 * GIB, 64 * GIB)
    host = HostMemory(total_bytes=64 * GIB, available_bytes=64 * GIB)
    return make_plan(qwen_7b(), request, (gpu,), host).devices[0].compute_bytes


def _growth_bytes(kind: DeviceKind, request: PlanRequest) -> int:
    """What the second half of the context adds."""
    shorter = replace(request, n_ctx=65_536)
    return _compute_bytes(kind, request) - _compute_bytes(kind, shorter)


def test_the_plan_of_a_card_counts_the_copy() -> None:
    request = PlanRequest(n_ctx=131_072, type_k="q8_0", type_v="q8_0", n_outputs=1)

    more = _growth_bytes(DeviceKind.CUDA, request) - _growth_bytes(DeviceKind.VULKAN, request)

    assert more == 2 * 65_536 * 4 * 128 * 2
    of_older = replace(request, engine_build=8000)
    assert _compute_bytes(DeviceKind.CUDA, of_older) == _compute_bytes(DeviceKind.VULKAN, of_older)


def test_without_flash_attention_there_is_none() -> None:
    request = PlanRequest(n_ctx=16_384, flash_attn="off")

    kinds = (DeviceKind.CUDA, DeviceKind.METAL, DeviceKind.VULKAN)
    assert len({_compute_bytes(kind, request) for kind in kinds}) == 1
