from __future__ import annotations

import json
from dataclasses import replace

import pytest

from backends.device import Device, DeviceKind
from localr1.plan.ledger import (
    Entry,
    Factor,
    What,
    Where,
    entry_from_json,
    factors_at,
    places,
)
from localr1.units import MIB

_HERE = Where(engine="0.3.36", kind=DeviceKind.CUDA, device="a card")
_COMPUTE = What(arch="qwen2", purpose="compute", setting="flash attention, f16/f16")


def _entry(ratio: float, where: Where = _HERE, what: What = _COMPUTE) -> Entry:
    measured_bytes = round(100 * MIB * ratio)
    return Entry(where=where, what=what, planned_bytes=100 * MIB, measured_bytes=measured_bytes)


def _factor(*ratios: float) -> Factor | None:
    return factors_at(_HERE, [_entry(ratio) for ratio in ratios]).get(_COMPUTE)


def test_a_size_that_was_more_is_multiplied_by_the_median() -> None:
    assert _factor(1.10, 1.50, 1.12) == Factor(1.12, 3)


def test_a_size_that_was_less_is_believed_as_far_as_every_load_says_so() -> None:
    assert _factor(0.5, 0.6, 0.8) == Factor(0.8, 3)
    assert _factor(0.5, 0.6, 1.2) is None


def test_only_the_last_loads_count() -> None:
    assert _factor(3.0, 3.0, 3.0, *[1.2] * 5) == Factor(1.2, 5)


def test_a_correction_is_unlearned_once_the_formula_is_right() -> None:
    assert _factor(1.2, 1.2) is not None
    assert _factor(1.2, 1.2, 1.0, 1.0, 1.0) is None


def test_what_is_off_by_less_than_five_percent_is_left_alone() -> None:
    assert _factor(1.04) is None
    assert _factor(0.96) is None


@pytest.mark.parametrize(
    "elsewhere",
    [
        replace(_HERE, engine="0.4.0"),
        replace(_HERE, kind=DeviceKind.VULKAN),
        replace(_HERE, device="another card"),
    ],
)
def test_other_engines_and_devices_teach_nothing(elsewhere: Where) -> None:
    assert factors_at(_HERE, [_entry(1.5, where=elsewhere)]) == {}


def test_architectures_purposes_and_settings_are_learned_apart() -> None:
    others = [
        replace(_COMPUTE, arch="llama"),
        replace(_COMPUTE, purpose="kv"),
        replace(_COMPUTE, setting="no flash attention"),
    ]

    factors = factors_at(_HERE, [_entry(1.5), *(_entry(2.0, what=what) for what in others)])

    assert factors[_COMPUTE] == Factor(1.5, 1)
    assert [factors[what].value for what in others] == [2.0, 2.0, 2.0]


def test_alike_cards_learn_together() -> None:
    cards = [Device(f"CUDA{i}", DeviceKind.CUDA, "a card", 1, 1) for i in range(2)]

    assert places(cards, "0.3.36") == {"CUDA0": _HERE, "CUDA1": _HERE}


def test_an_entry_survives_its_form_on_the_disk() -> None:
    assert entry_from_json(json.loads(json.dumps(_entry(1.25).to_json()))) == _entry(1.25)


@pytest.mark.parametrize(
    "damage",
    [
        {"version": 2},
        {"kind": "abacus"},
        {"engine": 7},
        {"device": "x" * 1000},
        {"arch": None},
        {"planned_bytes": 0},
        {"planned_bytes": -1},
        {"planned_bytes": True},
        {"measured_bytes": 1.5},
        {"measured_bytes": 10**400},
        {"measured_bytes": float("nan")},
    ],
)
def test_a_damaged_entry_is_none(damage: dict[str, object]) -> None:
    assert entry_from_json(_entry(1.25).to_json() | damage) is None


@pytest.mark.parametrize("document", [None, [], "text", 7, {}])
def test_another_document_is_no_entry(document: object) -> None:
    assert entry_from_json(document) is None
