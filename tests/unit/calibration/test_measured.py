"""Prices that times were made of are found again; what was kept is read again, or nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace

import pytest

from localr1.calibration.measured import Identity, Measured, Timing, measured_from, read_measured
from localr1.calibration.rough import roughly_measured
from localr1.model_facts.card import ModelCard
from localr1.plan.rate import Prices, WeightPrice
from quant.gguf.contents import TensorInfo
from tests.support.plan_models import Shape, card_of

_IDENTITY = Identity(processor="a processor", n_threads=4, llama_cpp_python="0.3.36")
_SHALLOW = Shape(
    n_layer=1, n_embd=256, n_head=4, n_head_kv=2, head_dim=64, n_ff=256, n_vocab=512,
    output_type="Q4_K",
)  # fmt: skip
_DEEP = replace(_SHALLOW, n_layer=32)
_TALKATIVE = replace(_SHALLOW, n_vocab=32_768)
_SMALL_HEADS = replace(_SHALLOW, n_layer=4, n_head=16, n_head_kv=4)
_LARGE_HEADS = replace(_SHALLOW, n_layer=4, n_head=8, head_dim=256)
_WIDE = replace(_SHALLOW, n_layer=3, n_embd=3072, n_ff=8192)
_NARROW = replace(_SHALLOW, n_layer=3, n_embd=512, n_ff=51_200)
_SHAPES = (_SHALLOW, _DEEP, _TALKATIVE, _SMALL_HEADS, _LARGE_HEADS, _WIDE, _NARROW)
_OTHER = replace(_SHALLOW, n_layer=24, n_embd=1024, n_head=16, n_ff=4096, n_vocab=50_000)

_N_TOKENS = 20


def _matrices(card: ModelCard) -> list[TensorInfo]:
    return [
        tensor
        for tensor in card.tensors
        if len(tensor.dims) > 1 and tensor.name != "token_embd.weight"
    ]


def _token_s(shape: Shape, n_past: float, slower: float) -> float:
    """On a processor whose every price is a round number, that many times slower."""
    card = card_of(shape)
    n_looks = shape.n_layer * shape.n_head * n_past
    return slower * (
        sum(tensor.n_bytes for tensor in _matrices(card)) * 4e-11
        + sum(tensor.dims[1] for tensor in _matrices(card)) * 1e-8
        + (17 * shape.n_layer + 2) * 1e-6
        + n_looks * 2e-8
        + n_looks * 2 * shape.head_dim * 3e-11
        + 6e-5
        + shape.n_vocab * 2e-9
    )


def _prompt_s(shape: Shape, n_tokens: int, slower: float) -> float:
    card = card_of(shape)
    last = f"blk.{shape.n_layer - 1}.ffn_"
    n_weights = sum(
        math.prod(tensor.dims)
        for tensor in _matrices(card)
        if tensor.name.startswith("blk.") and not tensor.name.startswith(last)
    )
    n_looks = shape.n_layer * shape.n_head * n_tokens * n_tokens / 2
    n_operations = 17 * shape.n_layer + 2
    return slower * (
        2 * n_weights * n_tokens * 1e-11
        + n_operations * n_tokens * 1e-7
        + n_looks * (1e-9 + 2 * shape.head_dim * 3e-11)
        + n_operations * 1e-6
        + 6e-5
        + shape.n_vocab * 2e-9
    )


def _timing(shape: Shape, slower: float = 1.0, jitter: Sequence[float] = (1.0,)) -> Timing:
    n_prompt = 768 if shape in (_SMALL_HEADS, _LARGE_HEADS) else 64
    token_s = _token_s(shape, n_prompt + _N_TOKENS / 2, slower)
    prompt_s = _prompt_s(shape, n_prompt, slower)
    times = [token_s * jitter[i % len(jitter)] for i in range(_N_TOKENS)]
    return Timing(
        card=card_of(shape),
        n_prompt=n_prompt,
        n_tokens=_N_TOKENS,
        prompt_s=(prompt_s,),
        token_s=tuple(times),
    )


def _measured(shapes: Sequence[Shape] = _SHAPES, slower: float = 1.0) -> Measured:
    timings = [_timing(shape, slower) for shape in shapes]
    return measured_from(_IDENTITY, copies_per_s=[20e9, 40e9, 30e9], timings=timings)


def _middle(measured: Measured) -> Prices:
    """The slow end is a tenth above what was measured."""
    return measured.slow


def test_prices_are_found_again() -> None:
    prices = _middle(_measured())

    assert prices.types["Q4_K"].byte_s == pytest.approx(1.1 * 4e-11)
    assert prices.types["Q4_K"].row_s == pytest.approx(1.1 * 1e-8)
    assert prices.types["Q4_K"].flop_s == pytest.approx(1.1 * 1e-11)
    assert prices.operation_s == pytest.approx(1.1 * 1e-6)
    assert prices.prompt_operation_s == pytest.approx(1.1 * 1e-7)
    assert prices.token_s == pytest.approx(1.1 * 6e-5)
    assert prices.vocabulary_s == pytest.approx(1.1 * 2e-9)
    assert prices.looks is not None
    assert prices.looks.look_s == pytest.approx(1.1 * 2e-8)
    assert prices.looks.number_s == pytest.approx(1.1 * 3e-11)
    assert prices.looks.prompt_look_s == pytest.approx(1.1 * 1e-9)
    assert prices.looks.prompt_number_s == pytest.approx(1.1 * 3e-11)


@pytest.mark.parametrize("slower", [0.2, 1.0, 4.0])
def test_a_model_that_was_not_measured_is_told_within_a_tenth(slower: float) -> None:
    prices = _middle(_measured(slower=slower))

    price = prices.types["Q4_K"]
    matrices = _matrices(card_of(_OTHER))
    seconds = (
        sum(tensor.n_bytes for tensor in matrices) * price.byte_s
        + sum(tensor.dims[1] for tensor in matrices) * price.row_s
        + (17 * 24 + 2) * prices.operation_s
        + prices.choosing_s(50_000)
    )
    assert seconds / 1.1 == pytest.approx(_token_s(_OTHER, 0, slower), rel=0.1)


def test_a_range_goes_from_the_slower_quarter_to_the_faster() -> None:
    timings = [_timing(shape, jitter=(1.0, 1.0, 2.0, 3.0)) for shape in _SHAPES]

    measured = measured_from(_IDENTITY, copies_per_s=[30e9], timings=timings)

    assert measured.fast.types["Q4_K"].byte_s == pytest.approx(0.9 * 4e-11)
    assert measured.slow.types["Q4_K"].byte_s == pytest.approx(1.1 * 8e-11, rel=0.05)


def test_times_that_contradict_each_other_give_no_price_below_zero() -> None:
    timings = [_timing(shape) for shape in _SHAPES]
    shallow, *others = timings
    slow_start = replace(shallow, token_s=(1.0,) * 20, prompt_s=(1e-9,))

    measured = measured_from(_IDENTITY, copies_per_s=[30e9], timings=[slow_start, *others])

    assert read_measured(json.loads(json.dumps(measured.to_json())), _IDENTITY) == measured
    for end in measured.rate().ends:
        assert min(end.operation_s, end.token_s, end.types["Q4_K"].byte_s) > 0


def test_weights_of_other_types_are_read_at_most_as_fast_as_memory_is_copied() -> None:
    assert _measured().rate().bytes_per_s == pytest.approx((1 / (1.1 * 4e-11), 40e9))


def test_what_was_measured_before_is_kept() -> None:
    q6 = [replace(shape, type_name="Q6_K", output_type="Q6_K") for shape in _SHAPES]

    both = _measured(q6).adding(_measured())

    assert set(both.fast.types) == set(both.slow.types) == {"Q4_K", "Q6_K"}
    assert _measured().adding(None) == _measured()


def test_a_rough_measurement_is_replaced() -> None:
    rough = roughly_measured(_IDENTITY, [20e9, 40e9, 30e9])

    assert _measured().adding(rough) == _measured()


def test_a_copy_alone_tells_a_wide_range() -> None:
    rough = roughly_measured(_IDENTITY, [20e9, 40e9, 30e9])

    assert rough.rate().bytes_per_s == pytest.approx((0.4 * 30e9, 1.1 * 40e9))
    assert rough.rate().is_rough
    assert rough.slow.weights.flop_s is None
    assert not _measured().rate().is_rough


@pytest.mark.parametrize("found", [_measured(), roughly_measured(_IDENTITY, [30e9])])
def test_what_was_kept_is_read_again(found: Measured) -> None:
    text = json.dumps(found.to_json())

    assert read_measured(json.loads(text), _IDENTITY) == found


@pytest.mark.parametrize(
    "other",
    [
        replace(_IDENTITY, processor="another"),
        replace(_IDENTITY, n_threads=8),
        replace(_IDENTITY, llama_cpp_python="0.4"),
    ],
)
def test_what_was_measured_elsewhere_says_nothing(other: Identity) -> None:
    assert read_measured(_measured().to_json(), other) is None


@pytest.mark.parametrize(
    "damage",
    [
        {"slow": None},
        {"is_rough": 7},
        {"copy_bytes_per_s": [1.0, float("inf")]},
        {"copy_bytes_per_s": "fast"},
        {"fast": {"weights": {"byte_s": -1.0}}},
    ],
)
def test_a_damaged_file_says_nothing(damage: dict[str, object]) -> None:
    document = _measured().to_json()

    assert read_measured(document | {"measured": document["measured"] | damage}, _IDENTITY) is None


@pytest.mark.parametrize("byte_s", [0.0, -1.0, float("nan")])
def test_a_price_of_nothing_or_less_says_nothing(byte_s: float) -> None:
    rough = roughly_measured(_IDENTITY, [30e9])
    prices = replace(rough.slow, weights=WeightPrice(byte_s=byte_s))

    for damaged in (replace(rough, slow=prices), replace(rough, fast=prices)):
        assert read_measured(damaged.to_json(), _IDENTITY) is None


@pytest.mark.parametrize("document", [None, [], 7, {}, {"version": 1}, {"version": 2}])
def test_another_document_says_nothing(document: object) -> None:
    assert read_measured(document, _IDENTITY) is None
