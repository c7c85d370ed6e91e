"""Which models are useful on a machine, and in which type."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from localr1.catalogue.entry import Entry, entries
from localr1.catalogue.fit import Candidate, Fit, of_card, of_catalogue, rank
from localr1.catalogue.header import card_of
from localr1.hardware.machine import PlannedMachine, Wish, build_machine
from localr1.plan.comfort import is_comfortable
from localr1.plan.memory_plan import Verdict
from localr1.plan.planner import make_plan
from localr1.plan.quantisation import OFFERED_TYPES
from localr1.plan.request import PlanRequest
from localr1.units import GIB
from quant.gguf.types import FileType

_NAMES = ("deepseek-r1:1.5b", "deepseek-r1:7b", "deepseek-r1:32b", "deepseek-r1:70b", "gpt-oss:20b")
_CARD = build_machine(Wish(names=("rtx-4090", "pc-64gb")))


def _rank(
    machine: PlannedMachine,
    names: Sequence[str] = _NAMES,
    request: PlanRequest | None = None,
) -> dict[str, Fit]:
    candidates = of_catalogue(entries()[name] for name in names)
    ranking = rank(candidates, request or PlanRequest(), machine)
    return {fit.candidate.name: fit for fit in ranking.fits}


def test_the_most_exact_type_that_fits_whole_is_taken() -> None:
    found = _rank(_CARD)

    assert found["deepseek-r1:7b"].plan.card.quant == "Q8_0"
    assert found["deepseek-r1:32b"].plan.card.quant == "Q4_K_M"
    assert found["gpt-oss:20b"].plan.card.quant == "MXFP4_MOE"


def test_a_type_less_would_not_have_been_comfortable() -> None:
    chosen = _rank(_CARD)["deepseek-r1:32b"]
    card = card_of(entries()["deepseek-r1:32b"], FileType.Q5_K_M)
    (better,) = rank([of_card("better", card)], PlanRequest(), _CARD).fits

    assert is_comfortable(chosen.plan)
    assert not is_comfortable(better.plan)


def test_where_nothing_is_comfortable_the_smallest_type_is_taken() -> None:
    fit = _rank(_CARD)["deepseek-r1:70b"]

    assert fit.plan.card.quant == OFFERED_TYPES[-1]
    assert fit.plan.verdict is Verdict.FITS_WITH_OFFLOAD


def test_larger_models_come_first_among_those_that_fit_whole() -> None:
    assert list(_rank(_CARD)) == [
        "deepseek-r1:32b",
        "gpt-oss:20b",
        "deepseek-r1:7b",
        "deepseek-r1:1.5b",
        "deepseek-r1:70b",
    ]


def test_models_that_are_slower_than_reading_come_after_the_others() -> None:
    machine = build_machine(Wish(ram_bytes=64 * GIB))
    found = _rank(machine, ["deepseek-r1:1.5b", "deepseek-r1:32b", "deepseek-r1:7b"])

    assert found["deepseek-r1:32b"].plan.verdict is Verdict.FITS
    assert [fit.is_slow for fit in found.values()] == [False, False, True]
    assert list(found)[-1] == "deepseek-r1:32b"


def test_a_processor_takes_a_smaller_type_where_that_is_fast_enough() -> None:
    fit = _rank(build_machine(Wish(ram_bytes=64 * GIB)), ["deepseek-r1:7b"])["deepseek-r1:7b"]

    assert fit.plan.card.quant == "Q6_K"  # Q8_0 fits as well
    assert not fit.is_slow


def test_what_does_not_fit_comes_last() -> None:
    found = _rank(build_machine(Wish(ram_bytes=16 * GIB)), ["deepseek-r1:70b", "deepseek-r1:1.5b"])

    assert list(found) == ["deepseek-r1:1.5b", "deepseek-r1:70b"]
    assert found["deepseek-r1:70b"].plan.verdict is Verdict.DOES_NOT_FIT


def test_nothing_is_slow_where_the_speed_is_not_known() -> None:
    known = {name: type(item)() for name, item in _CARD.known.items()}
    machine = PlannedMachine(devices=_CARD.devices, host=_CARD.host, known=known, notices=())

    fit = _rank(machine, ["deepseek-r1:70b"])["deepseek-r1:70b"]

    assert fit.plan.speed is None
    assert not fit.is_slow


def test_the_plan_is_the_one_that_plan_would_make() -> None:
    fit = _rank(_CARD)["deepseek-r1:7b"]
    card = card_of(entries()["deepseek-r1:7b"], FileType.Q8_0)

    assert fit.plan == make_plan(card, PlanRequest(), _CARD.devices, _CARD.host, _CARD.known)


@pytest.mark.parametrize("name", ["deepseek-r1:1.5b", "qwen2.5:32b", "llama3.2:3b"])
def test_no_type_is_left_out_that_would_have_fitted(name: str) -> None:
    """What is skipped without a plan is skipped by a bound below the real need."""
    entry: Entry = entries()[name]
    (candidate,) = of_catalogue([entry])
    assert isinstance(candidate, Candidate)

    for version in candidate.versions:
        card = version.card()
        on_gpu = [t for t in card.tensors if entry.is_tied or t.name != "token_embd.weight"]
        assert version.least_bytes <= sum(tensor.n_bytes for tensor in on_gpu)


def test_the_context_that_was_asked_for_is_planned() -> None:
    found = _rank(_CARD, ["deepseek-r1:32b"], PlanRequest(n_ctx=32_768))

    assert found["deepseek-r1:32b"].plan.n_ctx == 32_768
    assert found["deepseek-r1:32b"].plan.verdict is Verdict.FITS_WITH_OFFLOAD


def test_a_row_of_json_says_where_a_model_comes_from() -> None:
    row = _rank(_CARD)["deepseek-r1:7b"].to_json()

    assert row["repository"] == "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B"
    assert row["lineage"] == "Qwen2.5-Math-7B distilled from DeepSeek-R1"
    assert row["verdict"] == "fits"
    assert row["max_ctx"] == 131_072


def test_models_of_one_shape_share_a_plan_under_their_own_names() -> None:
    found = _rank(_CARD, ["qwen2.5:7b", "qwen2.5-coder:7b", "deepseek-r1:7b"])

    plans = {name: fit.plan for name, fit in found.items()}
    assert {name: plan.card.name for name, plan in plans.items()} == {n: n for n in plans}
    assert plans["qwen2.5:7b"].devices == plans["qwen2.5-coder:7b"].devices
    assert plans["qwen2.5-coder:7b"].max_ctx == 32_768
    assert plans["deepseek-r1:7b"].max_ctx == 131_072
