"""What a document costs, on machines between plenty and nothing; every way out is taken in turn."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from backends.device import Device, DeviceKind
from localr1.catalogue.entry import find_entry
from localr1.catalogue.header import card_of, chosen_type
from localr1.catalogue.siblings import smaller_siblings
from localr1.hardware.machine import PlannedMachine, Wish, build_machine
from localr1.model_facts.card import ModelCard
from localr1.plan.document_cost import (
    DocumentCost,
    DocumentNeed,
    Obstacle,
    plan_document,
    reserved_tokens,
)
from localr1.plan.document_lines import context_line, headline, offer
from localr1.plan.kv_cache import padded_cells
from localr1.plan.memory_plan import MemoryPlan, Verdict
from localr1.plan.planner import make_plan
from localr1.plan.request import HostMemory, PlanRequest

_GIB = 1024**3
_QWEN_7B_BYTES_PER_TOKEN = 2 * 28 * 4 * 128 * 2  # K and V, layers, heads, numbers, f16
_PAPER = DocumentNeed(n_document=41_000, n_reserved=4096)


def model(name: str) -> ModelCard:
    entry, quant = find_entry(name)
    return card_of(entry, chosen_type(entry, quant))


def machine(ram_gib: float, gpu_gib: float = 0) -> PlannedMachine:
    """A processor with that much free, and a card if there shall be one."""
    card = Device("CUDA0", DeviceKind.CUDA, "card", int(gpu_gib * _GIB), int(gpu_gib * _GIB))
    host = HostMemory(total_bytes=int(ram_gib * _GIB), available_bytes=int(ram_gib * _GIB))
    return PlannedMachine(devices=(card,) if gpu_gib else (), host=host, known={}, notices=())


def cost_of(
    card: ModelCard,
    here: PlannedMachine,
    need: DocumentNeed = _PAPER,
    request: PlanRequest | None = None,
) -> tuple[MemoryPlan, DocumentCost]:
    planned = partial(make_plan, devices=here.devices, host=here.host, known=here.known)
    return plan_document(card, request or PlanRequest(), need, planned, smaller_siblings(card))


def test_a_document_costs_its_tokens_times_the_cache_of_one() -> None:
    plan, cost = cost_of(model("deepseek-r1:7b"), machine(32))

    assert cost.kv_bytes == 41_000 * _QWEN_7B_BYTES_PER_TOKEN
    assert cost.obstacle is None
    assert cost.ways_out == ()
    assert plan.verdict is Verdict.FITS
    assert plan.n_ctx == padded_cells(41_000 + 256 + 4096)


def test_the_line_says_tokens_cache_room_and_ways_out() -> None:
    plan, cost = cost_of(model("deepseek-r1:14b"), machine(16))

    line = headline("paper.pdf", 41_000, plan, cost)

    assert cost.obstacle is Obstacle.MEMORY
    assert line.startswith("paper.pdf: 41.0k tokens = 7.5 GiB of KV; you have ")
    assert line.endswith(f": {offer(cost)}")
    assert "use --kv q8_0, or " in line
    assert "--document-tokens " in line
    assert line.endswith(("or deepseek-r1:0528-qwen3-8b", "or deepseek-r1:8b"))


@pytest.mark.parametrize("ram_gib", [11, 12, 14, 16])
def test_every_way_out_that_is_called_enough_is_one(ram_gib: float) -> None:
    card, here = model("deepseek-r1:14b"), machine(ram_gib)
    _, cost = cost_of(card, here)
    enough = [way for way in cost.ways_out if way.is_enough]

    assert enough
    for way in enough:
        option, _, value = way.change.partition(" ")
        if option == "--kv":
            taken = cost_of(card, here, request=PlanRequest(type_k=value, type_v=value))
        elif option == "--ubatch":
            taken = cost_of(card, here, request=PlanRequest(n_ubatch=int(value)))
        elif option == "--reserve":
            taken = cost_of(card, here, replace(_PAPER, n_reserved=int(value)))
        elif option == "--document-tokens":
            taken = cost_of(card, here, replace(_PAPER, n_document=int(value)))
        elif option == "convert":
            taken = cost_of(model(f"deepseek-r1:14b-{value.split()[1]}"), here)
        else:
            taken = cost_of(model(option), here)
        assert taken[1].obstacle is None, way.change


def test_the_longest_part_that_fits_is_the_longest() -> None:
    card, here = model("deepseek-r1:14b"), machine(12)
    _, cost = cost_of(card, here)

    _, longer = cost_of(card, here, replace(_PAPER, n_document=cost.room_tokens + 256))

    assert 0 < cost.room_tokens < _PAPER.n_document
    assert longer.obstacle is Obstacle.MEMORY


def test_ways_out_that_are_not_enough_come_last_and_are_not_offered() -> None:
    _, cost = cost_of(model("deepseek-r1:14b"), machine(12))

    ranks = [way.is_enough for way in cost.ways_out]

    assert ranks == sorted(ranks, reverse=True)
    assert not all(ranks)
    for way in cost.ways_out:
        assert way.is_enough or way.change not in offer(cost)


def test_a_model_that_keeps_its_pace_is_offered_before_a_larger_one_that_does_not() -> None:
    here = build_machine(Wish(names=("rtx-4090",)))

    _, cost = cost_of(model("deepseek-r1:671b"), here)
    (offered,) = [way for way in cost.ways_out if way.is_enough]
    plan, _ = cost_of(model(offered.change), here)

    assert plan.verdict is Verdict.FITS


def test_a_model_that_does_not_fit_at_all_is_said_to() -> None:
    plan, cost = cost_of(model("deepseek-r1:70b"), machine(16))

    line = headline("paper.pdf", 41_000, plan, cost)

    assert (cost.room_tokens, cost.obstacle) == (0, Obstacle.MEMORY)
    assert "the model does not fit even without it" in line
    assert "--document-tokens" not in line


def test_a_context_that_was_asked_for_stays_and_is_the_obstacle() -> None:
    request = PlanRequest(n_ctx=8192)

    plan, cost = cost_of(model("deepseek-r1:7b"), machine(32), request=request)

    assert plan.n_ctx == 8192
    assert cost.obstacle is Obstacle.CONTEXT
    assert [way.change for way in cost.ways_out] == ["--ctx 45568", "--document-tokens 3840"]
    assert all(way.is_enough for way in cost.ways_out)


def test_the_longest_context_is_kept_where_it_holds_the_document() -> None:
    card, request = model("deepseek-r1:7b"), PlanRequest(n_ctx="max")

    plan, cost = cost_of(card, machine(32), request=request)
    _, too_long = cost_of(card, machine(7), request=request)

    assert plan.n_ctx == plan.max_ctx == 131_072
    assert cost.obstacle is None
    assert too_long.obstacle is Obstacle.MEMORY
    assert any(way.is_enough for way in too_long.ways_out)


def test_no_memory_helps_against_what_a_model_was_never_trained_on() -> None:
    need = DocumentNeed(n_document=60_000, n_reserved=4096)

    plan, cost = cost_of(model("qwen2.5:7b"), machine(64), need)

    assert plan.verdict is Verdict.FITS
    assert cost.obstacle is Obstacle.TRAINING
    assert cost.room_tokens == 32_768 - 256 - 4096
    assert "was trained on 32768" in headline("a.txt", 60_000, plan, cost)


def test_a_smaller_cache_does_not_teach_a_model_longer_texts() -> None:
    need = DocumentNeed(n_document=60_000, n_reserved=4096)

    plan, cost = cost_of(model("qwen2.5:7b"), machine(7), need)

    assert plan.verdict is Verdict.DOES_NOT_FIT
    assert cost.obstacle is Obstacle.TRAINING
    assert {way.change.partition(" ")[0] for way in cost.ways_out} <= {
        "--document-tokens",
        "--reserve",
    }


def test_a_card_that_holds_the_model_alone_offers_what_keeps_it_whole() -> None:
    plan, cost = cost_of(model("deepseek-r1:7b"), machine(32, gpu_gib=7))

    assert plan.verdict is Verdict.FITS_WITH_OFFLOAD
    assert cost.obstacle is None
    assert "fits with a part on the processor" in headline("paper.pdf", 41_000, plan, cost)
    assert any(way.is_enough and way.change == "--kv q8_0" for way in cost.ways_out)


def test_windows_and_states_do_not_grow_with_a_document() -> None:
    gemma = model("gemma3:12b")
    plan, cost = cost_of(gemma, machine(64))
    growing = sum(not is_swa for is_swa in gemma.is_swa)

    assert 0 < growing < gemma.n_layer
    assert cost.kv_bytes == 41_000 * 2 * 2 * growing * gemma.n_head_kv[0] * gemma.head_dim_k[0]
    assert "do not grow with it" in context_line(plan, cost)


def test_layers_with_a_state_instead_of_a_cache_cost_nothing() -> None:
    dense = model("deepseek-r1:7b")
    every_fourth = tuple(i % 4 == 3 for i in range(dense.n_layer))
    states = tuple(0 if has_kv else 10_000 for has_kv in every_fourth)
    hybrid = replace(dense, has_kv=every_fourth, state_numbers=states)

    plan, cost = cost_of(hybrid, machine(32))

    assert cost.kv_bytes == 41_000 * _QWEN_7B_BYTES_PER_TOKEN // 4
    assert "do not grow with it" in context_line(plan, cost)


def test_the_time_to_read_it_is_a_range() -> None:
    plan, cost = cost_of(model("deepseek-r1:7b"), build_machine(Wish(names=("rtx-4090",))))

    assert plan.speed is not None
    assert plan.speed.prefill_tokens_per_s is not None
    slow, fast = plan.speed.prefill_tokens_per_s
    assert cost.reading_s is not None
    assert 41_256 / fast < cost.reading_s[0] < cost.reading_s[1]
    assert cost.reading_s[1] / cost.reading_s[0] == pytest.approx(fast / slow)
    assert "; read in " in headline("paper.pdf", 41_000, plan, cost)


def test_an_estimate_is_a_range_and_the_plan_is_for_its_end() -> None:
    plan, cost = cost_of(model("deepseek-r1:7b"), machine(32))

    line = headline("paper.pdf", 30_000, plan, cost)

    assert "30.0k to 41.0k tokens (estimated) = up to 2.2 GiB of KV" in line


def test_a_small_model_keeps_a_quarter_of_its_context_for_the_reply() -> None:
    small = replace(model("deepseek-r1:7b"), n_ctx_train=2048)

    assert reserved_tokens(small) == 512
    assert reserved_tokens(model("deepseek-r1:7b")) == 4096
