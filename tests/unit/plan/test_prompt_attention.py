from __future__ import annotations

from dataclasses import replace

import pytest

from localr1.plan.prompt_attention import slowdown
from tests.support.plan_cards import qwen_7b


def test_a_short_prompt_takes_what_its_weights_take() -> None:
    assert slowdown(qwen_7b(), 512) == pytest.approx(1, abs=0.01)


def test_a_long_prompt_is_slowed_by_the_operations_of_its_attention() -> None:
    # per token: 28 layers, 28 heads, 128 numbers of K and of V, two operations each; half of the
    # prompt before it on average; 6.5 billion weights outside of embedding and output
    per_token = 28 * 28 * (128 + 128) * 2 * 20_000

    assert slowdown(qwen_7b(), 40_000) == pytest.approx(1 + per_token / (2 * 6.525e9), rel=0.01)


def test_a_window_bounds_what_a_token_looks_back_at() -> None:
    card = replace(qwen_7b(), n_swa=1024, is_swa=(True,) * 28)

    # per token: no more than the window, so that twice the prompt is hardly slower
    assert slowdown(card, 80_000) == pytest.approx(slowdown(card, 40_000), rel=0.01)
    assert slowdown(card, 40_000) < 1.1 < slowdown(qwen_7b(), 40_000)


def test_layers_without_attention_cost_nothing() -> None:
    assert slowdown(replace(qwen_7b(), has_kv=(False,) * 28), 40_000) == 1
