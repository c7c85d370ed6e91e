"""What people know from the field, and what the planner has to say about it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from localr1.catalogue.entry import find_entry
from localr1.catalogue.header import card_of as catalogue_card_of
from localr1.hardware.machine import Wish, build_machine
from localr1.plan.kv_cache import kv_bytes_per_layer
from localr1.plan.memory_plan import MemoryPlan, Verdict
from localr1.plan.planner import make_plan
from localr1.plan.request import PlanRequest
from localr1.plan.weights import is_expert
from localr1.units import GIB, MIB
from quant.gguf.types import FileType
from tests.support.plan_models import (
    DEEPSEEK_671B,
    LLAMA_70B,
    QWEN_1_5B,
    QWEN_30B_A3B,
    QWEN_32B,
    Shape,
    card_of,
)


def _plan(shape: Shape, *names: str, request: PlanRequest | None = None, **wish: int) -> MemoryPlan:
    machine = build_machine(Wish(names=names, **wish))
    return make_plan(
        card_of(shape), request or PlanRequest(), machine.devices, machine.host, machine.known
    )


def test_70b_takes_140_gb_in_half_precision_and_35_to_43_in_four_bits() -> None:
    half = replace(LLAMA_70B, type_name="F16", output_type="F16")

    assert 139e9 < card_of(half).file_bytes < 143e9
    assert 35e9 < card_of(LLAMA_70B).file_bytes < 43e9


def test_a_64_gb_mac_runs_70b_at_about_10_tokens_a_second() -> None:
    plan = _plan(LLAMA_70B, "m4-max-64gb")

    assert plan.verdict is Verdict.FITS
    assert plan.n_ctx >= 8192
    assert plan.host.overhead_bytes[1] > 5 * GIB  # for the system
    assert plan.speed is not None
    lowest, highest = plan.speed.decode_tokens_per_s
    assert lowest < 10 < highest


def test_70b_does_not_fit_a_32_gb_mac() -> None:
    assert _plan(LLAMA_70B, "m1-max-32gb").verdict is Verdict.DOES_NOT_FIT


def test_a_24_gb_card_runs_32b_and_leaves_a_gigabyte_to_the_desktop() -> None:
    plan = _plan(QWEN_32B, "rtx-4090")

    (card,) = plan.devices
    assert plan.verdict is Verdict.FITS
    assert 16e9 < card.weights_bytes < 20e9
    assert card.overhead_bytes[1] > 1 * GIB


def test_a_24_gb_card_does_not_run_70b_without_spilling() -> None:
    plan = _plan(LLAMA_70B, "rtx-4090", ram_bytes=64 * GIB)

    assert plan.verdict is Verdict.FITS_WITH_OFFLOAD
    assert plan.n_gpu_layers < 81
    assert plan.speed is not None
    assert plan.speed.decode_tokens_per_s[1] < 5
    assert plan.speed.bound_by == "memory bandwidth of system memory"


def test_a_plain_pc_runs_1_5b_comfortably() -> None:
    plan = _plan(QWEN_1_5B, "pc-8gb")

    assert plan.verdict is Verdict.FITS
    assert plan.n_ctx == 16_384
    assert plan.speed is not None
    assert plan.speed.decode_tokens_per_s[0] > 15


def test_the_largest_macs_of_their_time_held_192_gb() -> None:
    plan = _plan(replace(LLAMA_70B, type_name="F16", output_type="F16"), "m2-ultra-192gb")

    assert plan.verdict is Verdict.FITS


def test_experts_go_to_system_memory_and_attention_to_the_card() -> None:
    plan = _plan(DEEPSEEK_671B, "rtx-4090", ram_bytes=512 * GIB)

    (card,) = plan.devices
    assert plan.verdict is Verdict.FITS_WITH_OFFLOAD
    assert plan.n_gpu_layers == 62
    assert card.layers == (0, 61)
    assert card.expert_layers_on_host >= 58
    assert plan.host.weights_bytes > 300e9


def test_671b_have_37b_active_and_a_token_reads_no_more() -> None:
    entry, _ = find_entry("deepseek-r1:671b")
    card = catalogue_card_of(entry, FileType.Q4_K_M)
    assert card.experts is not None
    routed = sum(math.prod(tensor.dims) for tensor in card.tensors if is_expert(tensor))
    used = card.experts.n_used / card.experts.n_expert

    assert card.n_params == pytest.approx(671e9, rel=0.001)
    assert card.n_params - (1 - used) * routed == pytest.approx(37e9, rel=0.02)


def test_latent_attention_caches_forty_times_less() -> None:
    entry, _ = find_entry("deepseek-r1:671b")
    card = catalogue_card_of(entry, FileType.Q4_K_M)
    n_head, dim_k, dim_v, f16_bytes = 128, 128 + 64, 128, 2  # DeepSeek-V3's config.json
    unfolded_bytes = card.n_layer * n_head * (dim_k + dim_v) * f16_bytes

    (cached_bytes,) = {
        sum(kv_bytes_per_layer(card, PlanRequest(), n_ctx)) / n_ctx for n_ctx in (1024, 16_384)
    }

    assert unfolded_bytes > 40 * cached_bytes
    assert cached_bytes * 16_384 / MIB == pytest.approx(1098, abs=1)  # as llama.cpp prints it


def test_a_pc_that_shares_128_gb_runs_70b_and_a_card_of_16_gb_does_not() -> None:
    shared, card = _plan(LLAMA_70B, "ryzen-ai-max-395-128gb"), _plan(LLAMA_70B, "arc-a770")

    assert shared.verdict is Verdict.FITS
    assert shared.speed is not None
    assert shared.speed.decode_tokens_per_s[1] < 256e9 / shared.devices[0].weights_bytes
    assert card.verdict is not Verdict.FITS


def test_experts_leave_a_small_card_only_as_far_as_they_must() -> None:
    plan = _plan(QWEN_30B_A3B, "rtx-3060")

    (card,) = plan.devices
    assert plan.verdict is Verdict.FITS_WITH_OFFLOAD
    assert plan.n_gpu_layers == 49
    assert 0 < card.expert_layers_on_host < 48


def test_only_active_experts_cost_bandwidth() -> None:
    sparse = _plan(QWEN_30B_A3B, "pc-64gb")
    dense = _plan(QWEN_32B, "pc-64gb")

    assert sparse.speed is not None
    assert dense.speed is not None
    assert sparse.host.weights_bytes > 0.8 * dense.host.weights_bytes
    assert sparse.speed.decode_tokens_per_s[0] > 5 * dense.speed.decode_tokens_per_s[1]


def test_memory_of_the_machine_is_never_endless() -> None:
    plan = _plan(DEEPSEEK_671B, "rtx-4090", ram_bytes=64 * GIB)

    assert plan.verdict is Verdict.DOES_NOT_FIT
    assert plan.host.margin_bytes < 0


def test_a_long_document_is_what_breaks_a_card_that_worked() -> None:
    fits = _plan(QWEN_32B, "rtx-4090", request=PlanRequest(n_ctx=8192))
    too_long = _plan(QWEN_32B, "rtx-4090", request=PlanRequest(n_ctx=65_536, n_gpu_layers=65))

    assert fits.verdict is Verdict.FITS
    assert too_long.verdict is Verdict.DOES_NOT_FIT
    assert "without --gpu-layers" in {fix.change for fix in too_long.fixes if fix.is_enough}


def test_a_smaller_quantisation_is_offered_where_it_is_enough() -> None:
    half = replace(QWEN_1_5B, type_name="F16", output_type="F16")

    plan = _plan(half, "pc-8gb", request=PlanRequest(n_ctx=65_536))

    (fix,) = [fix for fix in plan.fixes if fix.change.startswith("convert")]
    assert plan.verdict is Verdict.DOES_NOT_FIT
    assert fix.is_enough
    assert fix.change == "convert -q Q8_0"  # the most exact that is enough
    assert 1 * GIB < fix.saves_bytes < 2 * GIB


def test_the_same_pages_of_a_file_are_counted_once_on_a_mac() -> None:
    tied = replace(QWEN_1_5B, is_tied=True)  # the GPU's output is the host's embedding

    mac, pc = _plan(tied, "m1-16gb"), _plan(tied, "rtx-4060")

    assert mac.host.unused_bytes == mac.host.weights_bytes
    assert pc.host.unused_bytes == 0
