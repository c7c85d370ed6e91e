from __future__ import annotations

from collections.abc import Callable

import pytest

from localr1.hardware.machine import Wish, build_machine
from localr1.model_facts.card import ModelCard
from localr1.plan.comfort import best_quantised, is_comfortable, is_slow
from localr1.plan.memory_plan import MemoryPlan, Verdict
from localr1.plan.planner import make_plan
from localr1.plan.quantisation import OFFERED_TYPES, in_types
from localr1.plan.request import PlanRequest
from tests.support.plan_models import DEEPSEEK_671B, LLAMA_8B, QWEN_32B, Shape, card_of


def _planner(name: str, request: PlanRequest | None) -> Callable[[ModelCard], MemoryPlan]:
    machine = build_machine(Wish(names=(name,)))

    def plan(card: ModelCard) -> MemoryPlan:
        here = machine.devices, machine.host, machine.known
        return make_plan(card, request or PlanRequest(), *here, with_fixes=False)

    return plan


def _best(shape: Shape, name: str, request: PlanRequest | None = None) -> str:
    return best_quantised(card_of(shape), _planner(name, request)).quant


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


def test_the_longest_context_is_no_comfort_where_no_thought_ends_in_it() -> None:
    assert _best(LLAMA_8B, "rtx-4060", PlanRequest(n_ctx="max")) == "Q5_K_M"


def test_a_type_that_writes_more_slowly_than_people_read_is_passed_over() -> None:
    plan = _planner("pc-64gb", None)
    most_exact, *others = map(plan, in_types(card_of(LLAMA_8B), OFFERED_TYPES))

    best = best_quantised(card_of(LLAMA_8B), plan)

    assert most_exact.verdict is Verdict.FITS
    assert is_slow(most_exact)
    assert best.quant == next(p.card.quant for p in others if is_comfortable(p))
