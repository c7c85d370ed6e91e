"""More of anything good is never slower, whatever the model and the machine."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.device import Device, DeviceKind
from localr1.hardware.efficiency import sheet_rate
from localr1.hardware.profile import Profile
from localr1.model_facts.card import ModelCard
from localr1.plan.hardware import HOST, Hardware, Known
from localr1.plan.memory_plan import Speed
from localr1.plan.offload import Split
from localr1.plan.placement import Placer
from localr1.plan.rate import Rate
from localr1.plan.request import HostMemory, PlanRequest
from localr1.plan.speed import estimate
from localr1.units import GIB
from tests.support.plan_models import LLAMA_8B, QWEN_1_5B, QWEN_30B_A3B, card_of

_CARDS = {shape.name: card_of(shape) for shape in (QWEN_1_5B, LLAMA_8B, QWEN_30B_A3B)}
_N_CTX = 8192
_MUCH = 512 * GIB


def _rate(gigabytes_per_s: float, kind: DeviceKind = DeviceKind.CUDA) -> Rate:
    profile = Profile(
        name="a device",
        title="a device",
        kind=kind,
        memory_bytes=_MUCH,
        bytes_per_s=gigabytes_per_s * 1e9,
        flops=gigabytes_per_s * 1e11,
        taken_bytes=(0, 0),
        source="a test",
    )
    return sheet_rate(profile)


def _speed(
    card: ModelCard,
    split: Split,
    rates: tuple[Rate, ...],
    host: Rate,
    kind: DeviceKind = DeviceKind.CUDA,
) -> Speed:
    names = [f"GPU{i}" for i in range(len(rates))]
    hardware = Hardware(
        gpus=tuple(Device(name, kind, "a device", _MUCH, _MUCH) for name in names),
        host=HostMemory(total_bytes=_MUCH, available_bytes=_MUCH),
        known={HOST: Known(rate=host)}
        | {name: Known(rate=rate) for name, rate in zip(names, rates, strict=True)},
    )
    request = PlanRequest(n_ctx=_N_CTX)
    placer = Placer(card, request, hardware)
    speed = estimate(
        placer.place(_N_CTX, split),
        card=card,
        request=request,
        weights=placer.weights,
        hardware=hardware,
        n_ctx=_N_CTX,
    )
    assert speed is not None
    return speed


def _figures(speed: Speed) -> list[float]:
    assert speed.prefill_tokens_per_s is not None
    return [
        *speed.decode_tokens_per_s,
        *speed.full_decode_tokens_per_s,
        *speed.prefill_tokens_per_s,
    ]


_cards = st.sampled_from(sorted(_CARDS)).map(_CARDS.__getitem__)
_bandwidths = st.floats(10, 4000)
_more = st.floats(1, 10)


@st.composite
def _splits(draw: st.DrawFn, card: ModelCard, n_devices: int) -> Split:
    left, layers = card.n_layer + 1, []
    for _ in range(n_devices):
        layers.append(draw(st.integers(1, max(left - n_devices, 1))))
        left -= layers[-1]
    n_host_experts = draw(st.integers(0, card.n_layer)) if card.experts else 0
    return Split(tuple(layers), n_host_experts)


@settings(max_examples=25)
@given(st.data(), _cards, st.tuples(_bandwidths, _bandwidths, _bandwidths), _more)
def test_more_bandwidth_is_never_slower(
    data: st.DataObject, card: ModelCard, bandwidths: tuple[float, ...], factor: float
) -> None:
    split = data.draw(_splits(card, 2))
    one, other, host = map(_rate, bandwidths)
    before = _figures(_speed(card, split, (one, other), host))

    for faster in range(3):
        rates = [_rate(b * factor if i == faster else b) for i, b in enumerate(bandwidths)]
        after = _figures(_speed(card, split, (rates[0], rates[1]), rates[2]))

        assert all(b >= a * (1 - 1e-9) for a, b in zip(before, after, strict=True))


@settings(max_examples=25)
@given(_cards, st.integers(1, 24), _bandwidths, _more)
def test_one_more_layer_on_a_faster_card_is_never_slower(
    card: ModelCard, n_layers: int, bandwidth: float, factor: float
) -> None:
    fast, slow = _rate(bandwidth * factor), _rate(bandwidth)

    fewer, more = (
        _figures(_speed(card, Split((n,), 0), (fast,), slow)) for n in (n_layers, n_layers + 1)
    )

    assert all(b >= a * (1 - 1e-9) for a, b in zip(fewer, more, strict=True))


@settings(max_examples=25)
@given(st.data(), _bandwidths)
def test_one_more_layer_of_experts_on_the_card_is_never_slower(
    data: st.DataObject, bandwidth: float
) -> None:
    card = _CARDS[QWEN_30B_A3B.name]
    n_host_experts = data.draw(st.integers(1, card.n_layer))
    rate = _rate(bandwidth)

    behind, moved = (
        _figures(_speed(card, Split((card.n_layer + 1,), n), (rate,), rate))
        for n in (n_host_experts, n_host_experts - 1)
    )

    assert all(b >= a * (1 - 1e-9) for a, b in zip(behind, moved, strict=True))


@pytest.mark.parametrize("name", sorted(_CARDS))
def test_a_longer_context_is_never_faster(name: str) -> None:
    card = _CARDS[name]

    speed = _speed(card, Split((card.n_layer + 1,), 0), (_rate(500),), _rate(50))

    ends = zip(speed.decode_tokens_per_s, speed.full_decode_tokens_per_s, strict=True)
    assert all(full < empty for empty, full in ends)


@pytest.mark.parametrize("name", sorted(_CARDS))
def test_a_card_in_the_network_is_never_faster_than_one_in_the_machine(name: str) -> None:
    card, rate = _CARDS[name], _rate(500)
    split = Split((10, card.n_layer + 1 - 10), 0)

    near, far = (
        _figures(_speed(card, split, (rate, rate), rate, kind))
        for kind in (DeviceKind.CUDA, DeviceKind.RPC)
    )

    assert all(b < a for a, b in zip(near, far, strict=True))
