"""What one token takes on one processor, price by price."""

from __future__ import annotations

from dataclasses import replace

import pytest

from localr1.plan.rate import LookPrice, WeightPrice
from localr1.plan.request import PlanRequest
from localr1.plan.token_work import TokenWork
from tests.support.plan_models import LLAMA_8B, QWEN_30B_A3B, card_of
from tests.support.plan_speed import (
    RATE,
    rate_of,
    read_bytes,
    speed_on,
)


def test_weights_of_a_measured_type_are_read_at_their_own_rate() -> None:
    card = card_of(replace(LLAMA_8B, output_type="Q4_K"))
    own = dict.fromkeys(("Q4_K", "F32"), WeightPrice(byte_s=1 / 20e9))

    speed = speed_on(card, CPU=rate_of(50e9, 100e9, types=own))

    assert speed.decode_tokens_per_s[1] == pytest.approx(20e9 / read_bytes(card))


def test_each_row_of_a_matrix_costs_its_time() -> None:
    card = card_of(LLAMA_8B)
    n_rows = sum(
        tensor.dims[1]
        for tensor in card.tensors
        if len(tensor.dims) > 1 and tensor.name != "token_embd.weight"
    )

    price = WeightPrice(byte_s=1 / 100e9, row_s=1e-6)
    speed = speed_on(card, CPU=rate_of(50e9, 100e9, types={"Q4_K": price, "Q6_K": price}))

    seconds = read_bytes(card) / 100e9 + n_rows * 1e-6
    assert speed.decode_tokens_per_s[1] == pytest.approx(1 / seconds)


def test_each_operation_costs_its_time() -> None:
    speed = speed_on(card_of(LLAMA_8B), CPU=rate_of(50e9, 100e9, operation_s=0.001))

    n_operations = 32 * (9 + 8) + 2  # nine weights and eight things beside them; norm and output
    seconds = read_bytes(card_of(LLAMA_8B)) / 100e9 + n_operations * 0.001
    assert speed.decode_tokens_per_s[1] == pytest.approx(1 / seconds)
    assert speed.bound_by == "work per layer on system memory"


def test_choosing_experts_and_adding_them_up_are_operations() -> None:
    card = card_of(QWEN_30B_A3B)
    n_expert_bytes = sum(tensor.n_bytes for tensor in card.tensors if "_exps" in tensor.name)

    speed = speed_on(card, CPU=rate_of(50e9, 100e9, operation_s=0.001))

    n_weights = sum(tensor.name.startswith("blk.") for tensor in card.tensors)
    n_operations = n_weights + 48 * (8 + 6 + 8) + 2
    n_bytes = read_bytes(card) - n_expert_bytes * (1 - 8 / 128)
    assert speed.decode_tokens_per_s[1] == pytest.approx(1 / (n_bytes / 100e9 + n_operations / 1e3))


def test_a_gpu_chooses_experts_in_one_operation_and_adds_biases_in_none() -> None:
    card = card_of(QWEN_30B_A3B)
    n_weights = sum(tensor.name.startswith("blk.") for tensor in card.tensors)
    biases = tuple(replace(t, name=t.name.replace(".weight", ".bias")) for t in card.tensors)
    counts = TokenWork(card, PlanRequest(), 4096)

    work = counts.of([*card.tensors, *biases], range(card.n_layer), is_fused=True)

    n_others = len(card.tensors) - n_weights
    assert work.n_operations == n_weights + n_others + 48 * (8 + 2)


def test_choosing_a_token_costs_more_the_more_there_are() -> None:
    speed = speed_on(card_of(LLAMA_8B), CPU=rate_of(50e9, 100e9, token_s=0.01, vocabulary_s=1e-6))

    seconds = read_bytes(card_of(LLAMA_8B)) / 100e9 + 0.01 + 128_256 * 1e-6
    assert speed.decode_tokens_per_s[1] == pytest.approx(1 / seconds)


def test_a_processor_looks_back_with_every_head_and_reads_the_cache_once() -> None:
    card = card_of(LLAMA_8B)
    looks = LookPrice(look_s=1e-8, number_s=1e-10)

    speed = speed_on(card, CPU=rate_of(50e9, 100e9, looks=looks))

    n_looks, cache_bytes = 32 * 32 * 4096, 32 * 8 * 256 * 2 * 4096
    seconds = (read_bytes(card) + cache_bytes) / 100e9 + n_looks * (1e-8 + 256 * 1e-10)
    assert speed.full_decode_tokens_per_s[1] == pytest.approx(1 / seconds)


def test_the_cache_of_a_tiny_model_stays_where_it_was_read() -> None:
    tiny = replace(
        LLAMA_8B, n_layer=2, n_embd=256, n_head=4, n_head_kv=4, head_dim=64, n_ff=512, n_vocab=512
    )
    looks = LookPrice(look_s=1e-8, number_s=0.0)

    speed = speed_on(card_of(tiny), CPU=rate_of(50e9, 100e9, looks=looks))

    seconds = read_bytes(card_of(tiny)) / 100e9 + 2 * 4 * 4096 * 1e-8
    assert speed.full_decode_tokens_per_s[1] == pytest.approx(1 / seconds)


def test_nobody_looks_further_back_than_its_window() -> None:
    looks = LookPrice(look_s=1e-6, number_s=0.0)
    windowed = replace(card_of(LLAMA_8B), n_swa=1024, is_swa=(True,) * 31 + (False,))

    speed = speed_on(windowed, CPU=rate_of(50e9, 100e9, looks=looks))

    n_cells = 31 * 1024 + 4096
    cache_bytes = 8 * 256 * 2 * n_cells
    seconds = (read_bytes(windowed) + cache_bytes) / 100e9 + 32 * n_cells * 1e-6
    assert speed.full_decode_tokens_per_s[1] == pytest.approx(1 / seconds)


def test_latent_attention_sees_one_row_twice() -> None:
    looks = LookPrice(look_s=0.0, number_s=1e-9)
    latent = replace(
        card_of(LLAMA_8B), n_head_kv=(1,) * 32, head_dim_k=(576,) * 32, head_dim_v=(0,) * 32
    )

    speed = speed_on(latent, CPU=rate_of(50e9, 100e9, looks=looks))

    n_numbers, cache_bytes = 32 * 32 * 4096 * 2 * 576, 32 * 576 * 2 * 4096
    seconds = (read_bytes(latent) + cache_bytes) / 100e9 + n_numbers * 1e-9
    assert speed.full_decode_tokens_per_s[1] == pytest.approx(1 / seconds)


def test_a_recurrent_state_is_read_and_written() -> None:
    numbers = 10**8
    card = replace(card_of(LLAMA_8B), has_kv=(False,) * 32, state_numbers=(numbers,) * 32)

    speed = speed_on(card, CPU=RATE)

    n_bytes = read_bytes(card) + 2 * 4 * numbers * 32
    assert speed.decode_tokens_per_s[1] == pytest.approx(100e9 / n_bytes)
