"""Whose sampling settings win."""

from __future__ import annotations

import math

import pytest

from localr1.chat.sampling import merge_sampling
from localr1.worker.frames import Sampling


def test_without_any_advice_sampling_is_that_of_r1() -> None:
    sampling = merge_sampling({}, {})

    assert (sampling.temperature, sampling.top_p) == (0.6, 0.95)
    assert sampling == Sampling()


def test_keys_of_a_gguf_are_understood_with_and_without_their_prefix() -> None:
    with_prefix = merge_sampling({}, {"general.sampling.temp": 0.7, "general.sampling.top_k": 20})
    without = merge_sampling({}, {"temp": 0.7, "top_k": 20})

    assert with_prefix == without == Sampling(temperature=0.7, top_k=20)


def test_names_of_generation_config_are_understood() -> None:
    model = {"do_sample": True, "temperature": 0.8, "top_p": 0.9, "repetition_penalty": 1.05}

    expected = Sampling(temperature=0.8, top_p=0.9, repeat_penalty=1.05)
    assert merge_sampling({}, model) == expected


def test_model_that_asks_not_to_be_sampled_is_greedy() -> None:
    assert merge_sampling({}, {"do_sample": False, "temperature": 0.8}).temperature == 0


def test_user_wins_over_the_model() -> None:
    sampling = merge_sampling({"temperature": 0.0, "seed": 42}, {"temp": 1.5, "min_p": 0.1})

    assert sampling == Sampling(temperature=0.0, min_p=0.1, seed=42)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("temp", math.nan),
        ("temp", -1.0),
        ("top_p", 1.5),
        ("top_p", math.inf),
        ("top_k", 2**40),
        ("min_p", "0.1"),
        ("penalty_repeat", 0.0),
        ("temp", True),
        ("mirostat", 2),
        ("stop", "x"),
    ],
)
def test_nonsense_from_a_file_is_passed_over(key: str, value: float) -> None:
    assert merge_sampling({}, {key: value}) == Sampling()


def test_whole_numbers_stay_whole() -> None:
    sampling = merge_sampling({}, {"top_k": 40.0, "penalty_last_n": 64.0})

    assert (type(sampling.top_k), type(sampling.repeat_last_n)) == (int, int)
