"""The arithmetic of the estimate, on rates that make it easy to follow."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backends.device import Device, DeviceKind
from localr1.model_facts.card import ModelCard
from localr1.plan.hardware import HOST, Known, Rate
from localr1.plan.memory_plan import MemoryPlan, Speed
from localr1.plan.planner import make_plan
from localr1.plan.request import HostMemory, PlanRequest
from localr1.units import GIB
from tests.support.plan_models import LLAMA_8B, QWEN_30B_A3B, card_of

_HOST = HostMemory(total_bytes=128 * GIB, available_bytes=128 * GIB)
_RATE = Rate(bytes_per_s=(50e9, 100e9), layer_s=(0.0, 0.0), flops=(1e12, 2e12), source="a test")
_FAST = replace(_RATE, bytes_per_s=(500e9, 1000e9))


def _gpu(free_bytes: int, name: str = "CUDA0") -> Device:
    return Device(name, DeviceKind.CUDA, "a card", free_bytes, free_bytes)


def _plan(card: ModelCard, *gpus: Device, **rates: Rate) -> MemoryPlan:
    known = {name: Known(rate=rate) for name, rate in rates.items()}
    return make_plan(card, PlanRequest(n_ctx=4096), gpus, _HOST, known)


def _speed(card: ModelCard, *gpus: Device, **rates: Rate) -> Speed:
    speed = _plan(card, *gpus, **rates).speed
    assert speed is not None
    return speed


def _read_bytes(card: ModelCard) -> int:
    return sum(tensor.n_bytes for tensor in card.tensors if tensor.name != "token_embd.weight")


def test_a_token_reads_every_weight_once_but_the_embedding() -> None:
    card = card_of(LLAMA_8B)

    speed = _speed(card, CPU=_RATE)

    n_bytes = _read_bytes(card)
    assert speed.decode_tokens_per_s == pytest.approx((50e9 / n_bytes, 100e9 / n_bytes))
    assert speed.bound_by == "memory bandwidth of system memory"


def test_a_full_cache_is_read_as_well() -> None:
    card = card_of(LLAMA_8B)
    plan = _plan(card, CPU=_RATE)

    assert plan.speed is not None
    n_bytes = _read_bytes(card) + plan.host.kv_bytes
    assert plan.speed.full_decode_tokens_per_s == pytest.approx((50e9 / n_bytes, 100e9 / n_bytes))


def test_a_tied_embedding_is_read_as_the_output() -> None:
    tied = card_of(replace(LLAMA_8B, is_tied=True))

    speed = _speed(tied, CPU=_RATE)

    n_bytes = sum(tensor.n_bytes for tensor in tied.tensors)
    assert speed.decode_tokens_per_s[1] == pytest.approx(100e9 / n_bytes)


def test_of_the_experts_only_those_in_use_are_read() -> None:
    card = card_of(QWEN_30B_A3B)
    n_expert_bytes = sum(tensor.n_bytes for tensor in card.tensors if "_exps" in tensor.name)

    speed = _speed(card, CPU=_RATE)

    n_bytes = _read_bytes(card) - n_expert_bytes * (1 - 8 / 128)
    assert speed.decode_tokens_per_s[1] == pytest.approx(100e9 / n_bytes)


def test_layers_that_only_draft_cost_memory_but_no_time() -> None:
    card = card_of(LLAMA_8B)
    last = [tensor for tensor in card.tensors if tensor.name.startswith("blk.31.")]
    drafts = tuple(
        replace(tensor, name=tensor.name.replace("31", "32"), offset=card.file_bytes + i)
        for i, tensor in enumerate(last)
    )
    with_drafts = replace(card, tensors=(*card.tensors, *drafts))

    one, other = _plan(card, CPU=_RATE), _plan(with_drafts, CPU=_RATE)

    assert other.host.weights_bytes > one.host.weights_bytes
    assert other.speed == one.speed


def test_weights_of_a_measured_type_are_read_at_their_own_rate() -> None:
    card = card_of(replace(LLAMA_8B, output_type="Q4_K"))
    rate = replace(_RATE, weight_bytes_per_s={"Q4_K": (10e9, 20e9), "F32": (10e9, 20e9)})

    speed = _speed(card, CPU=rate)

    assert speed.decode_tokens_per_s[1] == pytest.approx(20e9 / _read_bytes(card))


def test_each_layer_costs_its_time() -> None:
    speed = _speed(card_of(LLAMA_8B), CPU=replace(_RATE, layer_s=(0.01, 0.02)))

    assert speed.decode_tokens_per_s[1] < 1 / (33 * 0.01)
    assert speed.decode_tokens_per_s[0] < 1 / (33 * 0.02)
    assert speed.bound_by == "work per layer on system memory"


def test_places_work_one_after_the_other() -> None:
    card = card_of(LLAMA_8B)
    plan = _plan(card, _gpu(3 * GIB), CUDA0=_FAST, CPU=_RATE)

    (gpu,) = plan.devices
    on_host = _read_bytes(card) - gpu.weights_bytes
    seconds = gpu.weights_bytes / 1000e9 + on_host / 100e9 + 10e-6
    assert plan.speed is not None
    assert plan.speed.decode_tokens_per_s[1] == pytest.approx(1 / seconds)
    assert plan.speed.bound_by == "memory bandwidth of system memory"


def test_a_prompt_is_bound_by_operations() -> None:
    card = card_of(LLAMA_8B)
    n_weights = card.n_params - LLAMA_8B.n_embd * LLAMA_8B.n_vocab  # the embedding is looked up

    speed = _speed(card, _gpu(24 * GIB), CUDA0=_FAST, CPU=_RATE)

    assert speed.prefill_tokens_per_s == pytest.approx((1e12 / 2 / n_weights, 2e12 / 2 / n_weights))


def test_weights_that_the_host_keeps_have_to_reach_the_gpu_for_a_prompt() -> None:
    card = card_of(LLAMA_8B)

    whole = _speed(card, _gpu(24 * GIB), CUDA0=_FAST, CPU=_RATE).prefill_tokens_per_s
    partial = _speed(card, _gpu(3 * GIB), CUDA0=_FAST, CPU=_RATE).prefill_tokens_per_s

    assert whole is not None
    assert partial is not None
    assert partial[0] < whole[0]


@pytest.mark.parametrize("names", [(), ("CUDA0",)])
def test_what_nobody_knows_is_not_estimated(names: tuple[str, ...]) -> None:
    plan = _plan(card_of(LLAMA_8B), _gpu(3 * GIB), **dict.fromkeys(names, _RATE))

    assert plan.speed is None
    assert plan.to_json()["speed"] is None


def test_a_device_of_unknown_compute_has_no_prompt_speed() -> None:
    speed = _speed(card_of(LLAMA_8B), **{HOST: replace(_RATE, flops=None)})

    assert speed.prefill_tokens_per_s is None
    assert speed.to_json()["prefill_tokens_per_s"] is None
