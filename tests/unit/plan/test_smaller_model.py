from __future__ import annotations

from functools import partial

from localr1.catalogue.entry import find_entry
from localr1.catalogue.header import card_of, chosen_type
from localr1.catalogue.siblings import smaller_siblings
from localr1.hardware.machine import Wish, build_machine
from localr1.model_facts.card import ModelCard
from localr1.plan.comfort import is_comfortable
from localr1.plan.memory_plan import MemoryPlan, Verdict
from localr1.plan.planner import make_plan
from localr1.plan.request import PlanRequest
from localr1.plan.smaller_model import with_smaller_model


def _model(name: str) -> ModelCard:
    entry, quant = find_entry(name)
    return card_of(entry, chosen_type(entry, quant))


def _plan(name: str, *profiles: str) -> tuple[MemoryPlan, partial[MemoryPlan]]:
    here = build_machine(Wish(names=profiles))
    plan_of = partial(
        make_plan,
        request=PlanRequest(),
        devices=here.devices,
        host=here.host,
        known=here.known,
    )
    card = _model(name)
    return with_smaller_model(plan_of(card), plan_of, smaller_siblings(card)), plan_of


def test_what_does_not_fit_has_the_largest_sibling_that_does_as_a_way_out() -> None:
    plan, plan_of = _plan("deepseek-r1:671b", "rtx-4090")

    (model,) = [fix.change for fix in plan.fixes if ":" in fix.change]

    assert plan.fixes[0].change == model  # nothing else is enough
    assert plan_of(_model(model)).verdict is Verdict.FITS
    larger = [card.name for card in smaller_siblings(_model("deepseek-r1:671b"))]
    for name in larger[: larger.index(model)]:
        assert plan_of(_model(name)).verdict is not Verdict.FITS


def test_what_is_slow_beside_a_card_has_a_sibling_that_is_not() -> None:
    plan, plan_of = _plan("deepseek-r1:70b", "rtx-4090")

    assert plan.verdict is Verdict.FITS_WITH_OFFLOAD
    assert plan.fixes[0].change == "deepseek-r1:32b"
    assert is_comfortable(plan_of(_model("deepseek-r1:32b")))


def test_what_is_fast_beside_a_card_is_left_alone() -> None:
    plan, _ = _plan("qwen3:30b-a3b", "rtx-3060")

    assert plan.verdict is Verdict.FITS_WITH_OFFLOAD
    assert not [fix for fix in plan.fixes if ":" in fix.change]


def test_what_fits_and_is_slow_has_one_too() -> None:
    plan, _ = _plan("deepseek-r1:70b", "pc-256gb-ddr5")

    assert plan.verdict is Verdict.FITS
    assert [fix.change for fix in plan.fixes if ":" in fix.change]


def test_what_fits_is_left_alone() -> None:
    plan, _ = _plan("deepseek-r1:7b", "rtx-4090")

    assert not [fix for fix in plan.fixes if ":" in fix.change]


def test_where_no_sibling_fits_nothing_is_offered() -> None:
    plan, _ = _plan("gpt-oss:120b", "rtx-4060", "pc-16gb")

    assert plan.verdict is Verdict.DOES_NOT_FIT
    assert not [fix for fix in plan.fixes if ":" in fix.change]
