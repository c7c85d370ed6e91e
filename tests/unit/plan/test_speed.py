"""The arithmetic of the estimate, on rates that make it easy to follow."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from backends.device import Device, DeviceKind
from localr1.model_facts.card import ModelCard
from localr1.plan.hardware import Known
from localr1.plan.memory_plan import MemoryPlan, Speed
from localr1.plan.planner import make_plan
from localr1.plan.rate import LookPrice, Prices, Rate, WeightPrice
from localr1.plan.request import HostMemory, PlanRequest
from localr1.units import GIB
from tests.support.plan_models import LLAMA_8B, QWEN_30B_A3B, card_of

_HOST = HostMemory(total_bytes=128 * GIB, available_bytes=128 * GIB)


def _rate(slow: float, fast: float, **both: Any) -> Rate:
    """Bytes per second; twenty times as many operations in a second."""
    ends = [
        Prices(weights=WeightPrice(byte_s=1 / rate, flop_s=1 / rate / 20), **both)
        for rate in (slow, fast)
    ]
    return Rate(slow=ends[0], fast=ends[1], source="a test")


_RATE = _rate(50e9, 100e9)
_FAST = _rate(500e9, 1000e9)


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
    own = dict.fromkeys(("Q4_K", "F32"), WeightPrice(byte_s=1 / 20e9))

    speed = _speed(card, CPU=_rate(50e9, 100e9, types=own))

    assert speed.decode_tokens_per_s[1] == pytest.approx(20e9 / _read_bytes(card))


def test_each_row_of_a_matrix_costs_its_time() -> None:
    card = card_of(LLAMA_8B)
    n_rows = sum(
        tensor.dims[1]
        for tensor in card.tensors
        if len(tensor.dims) > 1 and tensor.name != "token_embd.weight"
    )

    price = WeightPrice(byte_s=1 / 100e9, row_s=1e-6)
    speed = _speed(card, CPU=_rate(50e9, 100e9, types={"Q4_K": price, "Q6_K": price}))

    seconds = _read_bytes(card) / 100e9 + n_rows * 1e-6
    assert speed.decode_tokens_per_s[1] == pytest.approx(1 / seconds)


def test_each_operation_costs_its_time() -> None:
    speed = _speed(card_of(LLAMA_8B), CPU=_rate(50e9, 100e9, operation_s=0.001))

    n_operations = 32 * (9 + 8) + 2  # nine weights and eight things beside them; norm and output
    seconds = _read_bytes(card_of(LLAMA_8B)) / 100e9 + n_operations * 0.001
    assert speed.decode_tokens_per_s[1] == pytest.approx(1 / seconds)
    assert speed.bound_by == "work per layer on system memory"


def test_choosing_experts_and_adding_them_up_are_operations() -> None:
    card = card_of(QWEN_30B_A3B)
    n_expert_bytes = sum(tensor.n_bytes for tensor in card.tensors if "_exps" in tensor.name)

    speed = _speed(card, CPU=_rate(50e9, 100e9, operation_s=0.001))

    n_weights = sum(tensor.name.startswith("blk.") for tensor in card.tensors)
    n_operations = n_weights + 48 * (8 + 6 + 8) + 2
    n_bytes = _read_bytes(card) - n_expert_bytes * (1 - 8 / 128)
    assert speed.decode_tokens_per_s[1] == pytest.approx(1 / (n_bytes / 100e9 + n_operations / 1e3))


def test_choosing_a_token_costs_more_the_more_there_are() -> None:
    speed = _speed(card_of(LLAMA_8B), CPU=_rate(50e9, 100e9, token_s=0.01, vocabulary_s=1e-6))

    seconds = _read_bytes(card_of(LLAMA_8B)) / 100e9 + 0.01 + 128_256 * 1e-6
    assert speed.decode_tokens_per_s[1] == pytest.approx(1 / seconds)


def test_a_processor_looks_back_with_every_head_and_reads_the_cache_once() -> None:
    card = card_of(LLAMA_8B)
    looks = LookPrice(look_s=1e-8, number_s=1e-10)

    speed = _speed(card, CPU=_rate(50e9, 100e9, looks=looks))

    n_looks, cache_bytes = 32 * 32 * 4096, 32 * 8 * 256 * 2 * 4096
    seconds = (_read_bytes(card) + cache_bytes) / 100e9 + n_looks * (1e-8 + 256 * 1e-10)
    assert speed.full_decode_tokens_per_s[1] == pytest.approx(1 / seconds)


def test_the_cache_of_a_tiny_model_stays_where_it_was_read() -> None:
    tiny = replace(
        LLAMA_8B, n_layer=2, n_embd=256, n_head=4, n_head_kv=4, head_dim=64, n_ff=512, n_vocab=512
    )
    looks = LookPrice(look_s=1e-8, number_s=0.0)

    speed = _speed(card_of(tiny), CPU=_rate(50e9, 100e9, looks=looks))

    seconds = _read_bytes(card_of(tiny)) / 100e9 + 2 * 4 * 4096 * 1e-8
    assert speed.full_decode_tokens_per_s[1] == pytest.approx(1 / seconds)


def test_nobody_looks_further_back_than_its_window() -> None:
    looks = LookPrice(look_s=1e-6, number_s=0.0)
    windowed = replace(card_of(LLAMA_8B), n_swa=1024, is_swa=(True,) * 31 + (False,))

    speed = _speed(windowed, CPU=_rate(50e9, 100e9, looks=looks))

    n_cells = 31 * 1024 + 4096
    cache_bytes = 8 * 256 * 2 * n_cells
    seconds = (_read_bytes(windowed) + cache_bytes) / 100e9 + 32 * n_cells * 1e-6
    assert speed.full_decode_tokens_per_s[1] == pytest.approx(1 / seconds)


def test_latent_attention_sees_one_row_twice() -> None:
    looks = LookPrice(look_s=0.0, number_s=1e-9)
    latent = replace(
        card_of(LLAMA_8B), n_head_kv=(1,) * 32, head_dim_k=(576,) * 32, head_dim_v=(0,) * 32
    )

    speed = _speed(latent, CPU=_rate(50e9, 100e9, looks=looks))

    n_numbers, cache_bytes = 32 * 32 * 4096 * 2 * 576, 32 * 576 * 2 * 4096
    seconds = (_read_bytes(latent) + cache_bytes) / 100e9 + n_numbers * 1e-9
    assert speed.full_decode_tokens_per_s[1] == pytest.approx(1 / seconds)


def test_a_recurrent_state_is_read_and_written() -> None:
    numbers = 10**8
    card = replace(card_of(LLAMA_8B), has_kv=(False,) * 32, state_numbers=(numbers,) * 32)

    speed = _speed(card, CPU=_RATE)

    n_bytes = _read_bytes(card) + 2 * 4 * numbers * 32
    assert speed.decode_tokens_per_s[1] == pytest.approx(100e9 / n_bytes)


def test_places_work_one_after_the_other() -> None:
    card = card_of(LLAMA_8B)
    plan = _plan(card, _gpu(3 * GIB), CUDA0=_FAST, CPU=_RATE)

    (gpu,) = plan.devices
    on_host = _read_bytes(card) - gpu.weights_bytes
    handing_s = 10e-6 + 4 * 4096 / 25e9  # one row of states over the bus
    seconds = gpu.weights_bytes / 1000e9 + on_host / 100e9 + handing_s
    assert plan.speed is not None
    assert plan.speed.decode_tokens_per_s[1] == pytest.approx(1 / seconds)
    assert plan.speed.bound_by == "memory bandwidth of system memory"


def test_a_server_in_the_network_is_further_away_than_a_card() -> None:
    card = card_of(LLAMA_8B)
    server = replace(_gpu(24 * GIB, "RPC0"), kind=DeviceKind.RPC)

    near = _speed(card, _gpu(24 * GIB), CUDA0=_FAST, CPU=_RATE)
    far = _speed(card, server, RPC0=_FAST, CPU=_RATE)

    def seconds(speed: Speed) -> float:
        return 1 / speed.decode_tokens_per_s[1]

    # there and back, where a card is only handed the state
    row_s = 4 * 4096 * (2 / 1.1e9 - 1 / 25e9)
    assert seconds(far) - seconds(near) == pytest.approx(2 * 50e-6 - 10e-6 + row_s)


def test_experts_that_stay_behind_are_two_hand_overs_for_each_layer() -> None:
    card = card_of(QWEN_30B_A3B)
    request = PlanRequest(n_ctx=4096, n_gpu_layers=99, n_host_experts=10)
    known = {name: Known(rate=_FAST) for name in ("CUDA0", "CPU")}  # only the way differs

    split, whole = (
        make_plan(card, wanted, (_gpu(24 * GIB),), _HOST, known).speed
        for wanted in (request, replace(request, n_host_experts=0))
    )

    assert split is not None
    assert whole is not None
    longer_s = 1 / split.decode_tokens_per_s[1] - 1 / whole.decode_tokens_per_s[1]
    assert longer_s == pytest.approx(20 * (10e-6 + 4 * 2048 / 25e9))


def test_a_prompt_is_bound_by_operations() -> None:
    card = card_of(LLAMA_8B)
    # the embedding is looked up, the output and the last feed-forward network have one token
    n_idle = 2 * LLAMA_8B.n_embd * LLAMA_8B.n_vocab + 3 * LLAMA_8B.n_embd * LLAMA_8B.n_ff
    n_norms = (2 * 32 + 1) * LLAMA_8B.n_embd
    n_weights = card.n_params - n_idle - n_norms

    speed = _speed(card, CPU=_RATE)

    assert speed.prefill_tokens_per_s == pytest.approx((1e12 / 2 / n_weights, 2e12 / 2 / n_weights))


def test_a_prompt_that_touches_all_experts_reads_them_all() -> None:
    card = card_of(QWEN_30B_A3B)
    ends = [Prices(weights=WeightPrice(byte_s=1 / 50e9, flop_s=1e-18))] * 2
    rate = Rate(slow=ends[0], fast=ends[1], source="a test")

    speed = _speed(card, CPU=rate)

    last = f"blk.{card.n_layer - 1}.ffn_"
    n_bytes = sum(
        tensor.n_bytes
        for tensor in card.tensors
        if len(tensor.dims) > 1 and tensor.name.startswith("blk.") and last not in tensor.name
    )
    assert speed.prefill_tokens_per_s is not None
    assert speed.prefill_tokens_per_s[0] == pytest.approx(512 * 50e9 / n_bytes, rel=1e-6)


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
    ends = [Prices(weights=WeightPrice(byte_s=1e-10))] * 2
    speed = _speed(card_of(LLAMA_8B), CPU=Rate(slow=ends[0], fast=ends[1], source="a test"))

    assert speed.prefill_tokens_per_s is None
    assert speed.to_json()["prefill_tokens_per_s"] is None
