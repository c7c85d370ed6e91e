"""A driver may refuse an allocation though the device has room: two loads that others published."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backends.allocation_limits import AMD_DRIVER_MAX_BYTES, VULKAN_BUFFER_BYTES, VULKAN_MAX_BYTES
from backends.device import Device, DeviceKind
from localr1.plan.device_plan import Stage
from localr1.plan.explain import lines
from localr1.plan.memory_plan import MemoryPlan, Verdict
from localr1.plan.planner import make_plan
from localr1.plan.request import HostMemory, PlanRequest
from localr1.units import GIB, MIB
from tests.support.plan_models import QWEN_1_5B, Shape, card_of

_HOST = HostMemory(total_bytes=64 * GIB, available_bytes=64 * GIB)


_QWEN_7B = Shape(
    arch="qwen2",
    n_layer=28,
    n_embd=3584,
    n_head=28,
    n_head_kv=4,
    head_dim=128,
    n_ff=18_944,
    n_vocab=152_064,
    n_ctx_train=1_010_000,
    type_name="Q8_0",
)


def _vulkan(max_alloc_bytes: int | None, gib: int = 32) -> Device:
    return Device(
        "Vulkan0",
        DeviceKind.VULKAN,
        "a card",
        gib * GIB,
        gib * GIB,
        buffer_bytes=None if max_alloc_bytes is None else VULKAN_BUFFER_BYTES,
        max_alloc_bytes=max_alloc_bytes,
    )


def _mi60(n_ctx: int, build: int | None = 4615) -> MemoryPlan:
    """Qwen2.5-7B-1M in Q8_0 on an MI60 through Vulkan (llama.cpp issue 11598)."""
    request = PlanRequest(n_ctx=n_ctx, engine_build=build, flash_attn="off", n_gpu_layers=29)
    return make_plan(card_of(_QWEN_7B), request, (_vulkan(VULKAN_MAX_BYTES),), _HOST)


def test_a_compute_buffer_above_the_drivers_limit_is_refused_with_half_of_the_card_free() -> None:
    plan = _mi60(72_000)

    (card,) = plan.devices
    assert plan.verdict is Verdict.DOES_NOT_FIT
    assert plan.failing_stage is Stage.COMPUTE
    assert card.margin_bytes > 15 * GIB
    assert card.compute_bytes == pytest.approx(4_305_588_224, rel=0.002)  # as llama.cpp asked for
    assert card.kv_bytes == 3937.5 * MIB
    enough = [fix.change for fix in plan.fixes if fix.is_enough]
    assert {"--flash-attn on", "--ubatch 128", f"--ctx {plan.max_ctx}"} <= set(enough)
    text = "\n".join(lines(plan))
    assert f"compute buffer needs {card.compute_bytes / MIB:.0f} MiB in one piece" in text
    assert "the driver of Vulkan0 gives 4096 MiB at most" in text


def test_the_context_that_worked_there_fits() -> None:
    assert _mi60(71_000).verdict is Verdict.FITS
    # and a newer llama.cpp makes several buffers of one
    assert _mi60(72_000, None).verdict is Verdict.FITS


def test_the_refused_allocation_is_in_the_json() -> None:
    (card,) = _mi60(72_000).to_json()["devices"]

    assert card["max_alloc_bytes"] == VULKAN_MAX_BYTES
    assert card["too_large"]["stage"] == "compute"
    assert card["too_large"]["bytes"] > VULKAN_MAX_BYTES


_WIDE = Shape(
    arch="llama",
    n_layer=4,
    n_embd=2048,
    n_head=8,
    n_head_kv=2,
    head_dim=256,
    n_ff=4096,
    n_vocab=1_600_000,
    n_ctx_train=32_768,
    type_name="Q8_0",
)


def test_a_tensor_above_the_drivers_limit_stays_on_the_host_with_its_layer() -> None:
    card = card_of(_WIDE)
    (matrix,) = (tensor for tensor in card.tensors if tensor.name == "output.weight")
    asked = PlanRequest(n_ctx=4096, n_gpu_layers=5)
    vulkan = _vulkan(AMD_DRIVER_MAX_BYTES)

    plan = make_plan(card, asked, (vulkan,), _HOST)
    free = make_plan(card, replace(asked, n_gpu_layers=None), (vulkan,), _HOST)

    assert matrix.n_bytes > AMD_DRIVER_MAX_BYTES
    assert plan.failing_stage is Stage.WEIGHTS
    assert plan.devices[0].too_large is not None
    assert plan.devices[0].too_large.what == "output.weight"
    assert free.n_gpu_layers == 0  # the output is the last layer: it goes with all the others


def test_experts_above_the_drivers_limit_stay_on_the_host() -> None:
    card = card_of(replace(_WIDE, arch="qwen3moe", n_vocab=32_000, n_expert=128, n_expert_used=8,
                           n_ff_expert=8192, n_layer=2))  # fmt: skip

    plan = make_plan(card, PlanRequest(n_ctx=4096), (_vulkan(AMD_DRIVER_MAX_BYTES),), _HOST)

    assert plan.verdict is Verdict.FITS_WITH_OFFLOAD
    assert plan.n_gpu_layers == 3
    assert plan.split.n_host_experts == 2


def test_a_cache_above_the_drivers_limit_is_named_with_its_layer() -> None:
    card = replace(card_of(QWEN_1_5B), n_ctx_train=8_000_000)
    vulkan = _vulkan(AMD_DRIVER_MAX_BYTES, gib=512)

    plan = make_plan(
        card, PlanRequest(n_ctx=5_000_000, n_ubatch=32, n_gpu_layers=29), (vulkan,), _HOST
    )

    assert plan.failing_stage is Stage.KV
    assert plan.devices[0].too_large is not None
    assert plan.devices[0].too_large.what == "K cache of layer 0"
    assert {fix.change: fix.is_enough for fix in plan.fixes}["--kv q8_0"]


def test_without_a_limit_nothing_is_refused() -> None:
    plan = make_plan(card_of(_QWEN_7B), PlanRequest(n_ctx=32_768), (_vulkan(None),), _HOST)

    (card,) = plan.devices
    assert card.too_large is None
    assert card.to_json()["max_alloc_bytes"] is None
    assert plan.verdict is Verdict.FITS
