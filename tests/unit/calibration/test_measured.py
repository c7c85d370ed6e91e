from __future__ import annotations

import json
from dataclasses import replace

import pytest

from localr1.calibration.measured import Identity, Measured, Timing, from_json, measured_from

_IDENTITY = Identity(processor="a processor", n_threads=4, llama_cpp_python="0.3.36")
_TIMING = Timing(
    n_bytes=100_000_000,
    n_weights=200_000_000,
    token_s=(0.010, 0.005, 0.020),
    n_prompt=100,
    prompt_s=2.0,
    n_layer=2,
)
_DEEP = replace(_TIMING, n_bytes=20_000_000, n_layer=40)  # 1 ms to read


def _measured() -> Measured:
    return measured_from(
        _IDENTITY,
        copies_per_s=[20e9, 40e9, 30e9],
        timings={"Q4_K": _TIMING, "Q6_K": replace(_TIMING, token_s=(0.02, 0.02))},
        deep=[replace(_DEEP, token_s=(0.003, 0.009)), replace(_DEEP, token_s=(0.005, 0.009))],
    )


def test_a_range_goes_from_the_median_to_the_fastest() -> None:
    measured = _measured()

    assert measured.weight_bytes_per_s["Q4_K"] == pytest.approx((10e9, 20e9))
    assert measured.weight_bytes_per_s["Q6_K"] == pytest.approx((5e9, 5e9))
    assert measured.copy_bytes_per_s == (30e9, 40e9)
    assert measured.layer_s == pytest.approx((50e-6, 100e-6))


def test_a_prompt_tells_operations_per_second() -> None:
    assert _measured().flops == pytest.approx((2e10, 2e10))


def test_a_rate_reads_the_cache_no_faster_than_memory_is_copied() -> None:
    rate = _measured().rate()

    assert rate.bytes_per_s == (5e9, 40e9)
    assert rate.layer_s == pytest.approx((50e-6, 100e-6))
    assert rate.weight_bytes_per_s["Q4_K"][0] < rate.weight_bytes_per_s["Q4_K"][1]


def test_what_was_kept_is_read_again() -> None:
    text = json.dumps(_measured().to_json())

    assert from_json(json.loads(text), _IDENTITY) == _measured()


@pytest.mark.parametrize(
    "other",
    [
        replace(_IDENTITY, processor="another"),
        replace(_IDENTITY, n_threads=8),
        replace(_IDENTITY, llama_cpp_python="0.4"),
    ],
)
def test_what_was_measured_elsewhere_says_nothing(other: Identity) -> None:
    assert from_json(_measured().to_json(), other) is None


@pytest.mark.parametrize(
    "damage",
    [
        {"version": 99},
        {"flops": "fast"},
        {"flops": [2, 1]},
        {"layer_s": [0, 1]},
        {"copy_bytes_per_s": [1, float("inf")]},
        {"weight_bytes_per_s": []},
    ],
)
def test_a_damaged_file_says_nothing(damage: dict[str, object]) -> None:
    assert from_json(_measured().to_json() | damage, _IDENTITY) is None


@pytest.mark.parametrize("document", [None, [], 7, {}])
def test_another_document_says_nothing(document: object) -> None:
    assert from_json(document, _IDENTITY) is None
