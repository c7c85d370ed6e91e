from __future__ import annotations

from dataclasses import replace

import pytest

from localr1.hardware.machine import Wish, build_machine
from localr1.plan.hardware import choose_hardware
from localr1.plan.quantisation import OFFERED_TYPES, best_quantised, in_smaller_types, in_types
from localr1.plan.request import PlanRequest
from tests.support.plan_models import DEEPSEEK_671B, LLAMA_8B, QWEN_32B, Shape, card_of


def _best(shape: Shape, name: str, request: PlanRequest | None = None) -> str:
    machine = build_machine(Wish(names=(name,)))
    hardware = choose_hardware(machine.devices, machine.host, machine.known)
    return best_quantised(card_of(shape), request or PlanRequest(), hardware).quant


@pytest.mark.parametrize(
    ("shape", "machine", "expected"),
    [
        (LLAMA_8B, "rtx-4090", "Q8_0"),
        (LLAMA_8B, "rtx-3060", "Q8_0"),
        (LLAMA_8B, "rtx-4060", "Q5_K_M"),
        (QWEN_32B, "rtx-4090", "Q4_K_M"),
        (QWEN_32B, "m1-max-64gb", "Q8_0"),
        (QWEN_32B, "rtx-4060", "IQ4_XS"),
        (DEEPSEEK_671B, "rtx-4090", "IQ4_XS"),
    ],
)
def test_the_most_exact_type_that_fits_is_best(shape: Shape, machine: str, expected: str) -> None:
    assert _best(shape, machine) == expected


def test_a_longer_context_costs_precision() -> None:
    assert _best(LLAMA_8B, "rtx-3060", PlanRequest(n_ctx=32_768)) == "Q6_K"


def test_offered_types_go_from_exact_to_small() -> None:
    cards = list(in_types(card_of(LLAMA_8B), OFFERED_TYPES))

    sizes = [card.file_bytes for card in cards]
    assert [card.quant for card in cards] == list(OFFERED_TYPES)
    assert sizes == sorted(sizes, reverse=True)


def test_only_smaller_types_are_offered_to_save_memory() -> None:
    half = card_of(replace(LLAMA_8B, type_name="F16", output_type="F16"))
    small = replace(card_of(LLAMA_8B), quant="Q4_K_M")

    assert [card.quant for card in in_smaller_types(half)] == list(OFFERED_TYPES)
    assert [card.quant for card in in_smaller_types(small)] == ["IQ4_XS"]


def test_a_model_whose_types_nobody_knows_stays_as_it_is() -> None:
    card = card_of(LLAMA_8B)
    card = replace(
        card, tensors=tuple(replace(tensor, type_name="mixed") for tensor in card.tensors)
    )

    assert list(in_types(card, OFFERED_TYPES)) == []
