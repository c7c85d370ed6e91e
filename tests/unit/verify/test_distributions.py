from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from localr1.verify.distributions import Comparison
from localr1.verify.frames import Prediction

_LOGITS = st.lists(st.floats(-80, 80, width=32), min_size=5, max_size=5)


def _compared(source: list[float], result: list[float], came: int = 0) -> Prediction:
    comparison = Comparison(len(source))
    comparison.add(np.array([source], np.float32), np.array([result], np.float32), np.array([came]))
    return comparison.prediction()


def _shares(logits: list[float]) -> list[float]:
    total = math.fsum(math.exp(value) for value in logits)
    return [math.exp(value) / total for value in logits]


@given(_LOGITS, _LOGITS)
def test_divergence_and_perplexity_are_their_definitions(
    source: list[float], result: list[float]
) -> None:
    p, q = _shares(source), _shares(result)
    divergence = math.fsum(a * math.log(a / b) for a, b in zip(p, q, strict=True) if a > 0 < b)

    seen = _compared(source, result, came=3)

    assert seen.kl_divergence == pytest.approx(divergence, rel=1e-6, abs=1e-9)
    assert seen.source_perplexity == pytest.approx(1 / p[3], rel=1e-5)
    assert seen.perplexity_ratio == pytest.approx(p[3] / q[3], rel=1e-5)


@given(_LOGITS, st.floats(-50, 50))
def test_equal_predictions_diverge_by_nothing_whatever_is_added_to_all_logits(
    logits: list[float], shift: float
) -> None:
    seen = _compared(logits, [value + shift for value in logits])

    assert seen.kl_divergence == pytest.approx(0, abs=1e-4)


def test_a_coin_taken_for_loaded_costs_what_the_textbook_says() -> None:
    seen = _compared([0.0, 0.0], [math.log(9.0), 0.0])

    # half of log(0.5 / 0.9) and half of log(0.5 / 0.1)
    assert seen.kl_divergence == pytest.approx(0.5108256, rel=1e-6)
    assert seen.source_perplexity == pytest.approx(2.0)


def test_means_are_over_all_tokens_of_all_batches() -> None:
    comparison = Comparison(2)
    rows = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]], np.float32)
    comparison.add(rows[:1], rows[:1], np.array([0]))
    comparison.add(rows[1:], rows[[1, 0]], np.array([1, 1]))

    seen = comparison.prediction()

    assert seen.n_tokens == 3
    assert seen.top1_agreement == pytest.approx(2 / 3)


def test_logits_too_large_for_exp_are_no_trouble() -> None:
    seen = _compared([30000.0, 0.0], [30000.0, 29999.0])

    assert seen.kl_divergence == pytest.approx(math.log1p(math.exp(-1)), rel=1e-5)
