"""The arithmetic of the estimate, on rates that make it easy to follow."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backends.device import DeviceKind
from localr1.plan.hardware import Known
from localr1.plan.memory_plan import Speed
from localr1.plan.planner import make_plan
from localr1.plan.rate import Prices, Rate, WeightPrice
from localr1.plan.request import PlanRequest
from localr1.units import GIB
from tests.support.plan_models import LLAMA_8B, QWEN_30B_A3B, card_of
from tests.support.plan_speed import (
    FAST,
    HOST_MEMORY,
    RATE,
    gpu,
    plan_on,
    read_bytes,
    speed_on,
)


def test_a_token_reads_every_weight_once_but_the_embedding() -> None:
    card = card_of(LLAMA_8B)

    speed = speed_on(card, CPU=RATE)

    n_bytes = read_bytes(card)
    assert speed.decode_tokens_per_s == pytest.approx((50e9 / n_bytes, 100e9 / n_bytes))
    assert speed.bound_by == "memory bandwidth of system memory"


def test_a_full_cache_is_read_as_well() -> None:
    card = card_of(LLAMA_8B)
    plan = plan_on(card, CPU=RATE)

    assert plan.speed is not None
    n_bytes = read_bytes(card) + plan.host.kv_bytes
    assert plan.speed.full_decode_tokens_per_s == pytest.approx((50e9 / n_bytes, 100e9 / n_bytes))


def test_a_tied_embedding_is_read_as_the_output() -> None:
    tied = card_of(replace(LLAMA_8B, is_tied=True))

    speed = speed_on(tied, CPU=RATE)

    n_bytes = sum(tensor.n_bytes for tensor in tied.tensors)
    assert speed.decode_tokens_per_s[1] == pytest.approx(100e9 / n_bytes)


def test_of_the_experts_only_those_in_use_are_read() -> None:
    card = card_of(QWEN_30B_A3B)
    n_expert_bytes = sum(tensor.n_bytes for tensor in card.tensors if "_exps" in tensor.name)

    speed = speed_on(card, CPU=RATE)

    n_bytes = read_bytes(card) - n_expert_bytes * (1 - 8 / 128)
    assert speed.decode_tokens_per_s[1] == pytest.approx(100e9 / n_bytes)


def test_layers_that_only_draft_cost_memory_but_no_time() -> None:
    card = card_of(LLAMA_8B)
    last = [tensor for tensor in card.tensors if tensor.name.startswith("blk.31.")]
    drafts = tuple(
        replace(tensor, name=tensor.name.replace("31", "32"), offset=card.file_bytes + i)
        for i, tensor in enumerate(last)
    )
    with_drafts = replace(card, tensors=(*card.tensors, *drafts))

    one, other = plan_on(card, CPU=RATE), plan_on(with_drafts, CPU=RATE)

    assert other.host.weights_bytes > one.host.weights_bytes
    assert other.speed == one.speed


def test_places_work_one_after_the_other() -> None:
    card = card_of(LLAMA_8B)
    plan = plan_on(card, gpu(3 * GIB), CUDA0=FAST, CPU=RATE)

    (placed,) = plan.devices
    on_host = read_bytes(card) - placed.weights_bytes
    handing_s = 10e-6 + 4 * 4096 / 25e9  # one row of states over the bus
    seconds = placed.weights_bytes / 1000e9 + on_host / 100e9 + handing_s
    assert plan.speed is not None
    assert plan.speed.decode_tokens_per_s[1] == pytest.approx(1 / seconds)
    assert plan.speed.bound_by == "memory bandwidth of system memory"


def test_a_server_in_the_network_is_further_away_than_a_card() -> None:
    card = card_of(LLAMA_8B)
    server = replace(gpu(24 * GIB, "RPC0"), kind=DeviceKind.RPC)

    near = speed_on(card, gpu(24 * GIB), CUDA0=FAST, CPU=RATE)
    far = speed_on(card, server, RPC0=FAST, CPU=RATE)

    def seconds(speed: Speed) -> float:
        return 1 / speed.decode_tokens_per_s[1]

    # there and back, where a card is only handed the state
    row_s = 4 * 4096 * (2 / 1.1e9 - 1 / 25e9)
    assert seconds(far) - seconds(near) == pytest.approx(2 * 50e-6 - 10e-6 + row_s)


def test_experts_that_stay_behind_are_two_hand_overs_for_each_layer() -> None:
    card = card_of(QWEN_30B_A3B)
    request = PlanRequest(n_ctx=4096, n_gpu_layers=99, n_host_experts=10)
    known = {name: Known(rate=FAST) for name in ("CUDA0", "CPU")}  # only the way differs

    split, whole = (
        make_plan(card, wanted, (gpu(24 * GIB),), HOST_MEMORY, known).speed
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

    speed = speed_on(card, CPU=RATE)

    assert speed.prefill_tokens_per_s == pytest.approx((1e12 / 2 / n_weights, 2e12 / 2 / n_weights))


def test_a_prompt_that_touches_all_experts_reads_them_all() -> None:
    card = card_of(QWEN_30B_A3B)
    ends = [Prices(weights=WeightPrice(byte_s=1 / 50e9, flop_s=1e-18))] * 2
    rate = Rate(slow=ends[0], fast=ends[1], source="a test")

    speed = speed_on(card, CPU=rate)

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

    whole = speed_on(card, gpu(24 * GIB), CUDA0=FAST, CPU=RATE).prefill_tokens_per_s
    partial = speed_on(card, gpu(3 * GIB), CUDA0=FAST, CPU=RATE).prefill_tokens_per_s

    assert whole is not None
    assert partial is not None
    assert partial[0] < whole[0]


@pytest.mark.parametrize("names", [(), ("CUDA0",)])
def test_what_nobody_knows_is_not_estimated(names: tuple[str, ...]) -> None:
    plan = plan_on(card_of(LLAMA_8B), gpu(3 * GIB), **dict.fromkeys(names, RATE))

    assert plan.speed is None
    assert plan.to_json()["speed"] is None


def test_a_device_of_unknown_compute_has_no_prompt_speed() -> None:
    ends = [Prices(weights=WeightPrice(byte_s=1e-10))] * 2
    speed = speed_on(card_of(LLAMA_8B), CPU=Rate(slow=ends[0], fast=ends[1], source="a test"))

    assert speed.prefill_tokens_per_s is None
    assert speed.to_json()["prefill_tokens_per_s"] is None
