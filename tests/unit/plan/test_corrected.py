"""What earlier loads on this machine say changes the plan, and the plan says so."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backends.device import Device, DeviceKind
from localr1.hardware.machine import Wish, build_machine
from localr1.plan.corrected import formula_bytes
from localr1.plan.hardware import HOST, Known
from localr1.plan.ledger import Factor, What
from localr1.plan.memory_plan import MemoryPlan, Verdict
from localr1.plan.planner import make_plan
from localr1.plan.request import HostMemory, PlanRequest
from localr1.units import GIB
from tests.support.plan_cards import qwen_7b

_HOST = HostMemory(total_bytes=64 * GIB, available_bytes=32 * GIB)
_CARD = Device("CUDA0", DeviceKind.CUDA, "a card", 24 * GIB, 23 * GIB)
_REQUEST = PlanRequest(n_ctx=8192)
_COMPUTE = What(arch="qwen2", purpose="compute", setting="flash attention, f16/f16")


def _plan(
    *factors: tuple[What, float], request: PlanRequest = _REQUEST, card: Device = _CARD
) -> MemoryPlan:
    learned = {what: Factor(value, 3) for what, value in factors}
    known = {name: Known(factors=learned) for name in ("CUDA0", HOST)}
    return make_plan(qwen_7b(), request, (card,), _HOST, known)


def test_a_size_is_multiplied_and_the_plan_says_why() -> None:
    plain, taught = _plan(), _plan((_COMPUTE, 1.12))

    (before,), (after,) = plain.devices, taught.devices
    assert after.compute_bytes == round(before.compute_bytes * 1.12)
    assert after.kv_bytes == before.kv_bytes
    assert after.need_bytes > before.need_bytes
    note = "compute on CUDA0 was 12 % more than planned in 3 loads here: counted"
    assert note in taught.notices
    assert taught.to_json()["devices"][0]["corrections"] == [
        {
            "purpose": "compute",
            "planned_bytes": before.compute_bytes,
            "factor": 1.12,
            "n_loads": 3,
        }
    ]
    assert plain.to_json()["devices"][0]["corrections"] == []


def test_the_formulas_word_is_not_lost() -> None:
    (before,), (after,) = _plan().devices, _plan((_COMPUTE, 1.5)).devices

    assert formula_bytes(after, "compute") == before.compute_bytes
    assert formula_bytes(after, "kv") == before.kv_bytes


def test_what_the_process_took_raises_the_upper_end_only() -> None:
    process = What(arch="qwen2", purpose="process", setting="")

    lowest, highest = _plan().host.overhead_bytes

    assert _plan((process, 2.0)).host.overhead_bytes == (lowest, 2 * highest)


def test_a_model_that_no_longer_fits_whole_is_placed_otherwise() -> None:
    (whole,) = _plan().devices
    tight = replace(_CARD, free_bytes=whole.need_bytes)

    taught = _plan((_COMPUTE, 1.5), card=tight)

    assert _plan(card=tight).verdict is Verdict.FITS
    assert taught.verdict is Verdict.FITS_WITH_OFFLOAD
    assert all(place.margin_bytes >= 0 for place in taught.places)


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(replace(_REQUEST, flash_attn="off"), id="another setting"),
        pytest.param(replace(_REQUEST, engine_build=6000), id="another engine"),
    ],
)
def test_what_was_learned_otherwise_changes_nothing(request_: PlanRequest) -> None:
    taught = _plan((_COMPUTE, 1.5), request=request_)

    assert taught.devices == _plan(request=request_).devices


def test_machines_that_are_not_here_have_no_history() -> None:
    machine = build_machine(Wish(names=("rtx-4090",)))

    assert all(not known.factors for known in machine.known.values())
