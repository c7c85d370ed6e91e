"""Estimates against runs that people published.

Most rows: Xiongjie Dai, GPU-Benchmarks-on-LLM-Inference (snapshots of May 2024), tokens/s of 512
generated tokens. The last ones: bench-result issues of normiebench (M1 Max and M4, March 2026).
By name: the RTX 2080 of llmfit's community runs (July 2026, Q4_K_M, context 4096), and gpt-oss 20B
as reported in Ollama's issue 11688 (M1 Ultra) and by runaihome (RTX 4090).
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from localr1.catalogue.entry import find_entry
from localr1.catalogue.header import card_of as card_of_entry
from localr1.catalogue.header import chosen_type
from localr1.hardware.machine import Wish, build_machine
from localr1.model_facts.card import ModelCard
from localr1.plan.memory_plan import Speed
from localr1.plan.planner import make_plan
from localr1.plan.request import PlanRequest
from tests.support.plan_models import LLAMA_8B, LLAMA_70B, Shape, card_of

_LLAMA_8B_F16 = replace(LLAMA_8B, type_name="F16", output_type="F16")
_LLAMA_70B_F16 = replace(LLAMA_70B, type_name="F16", output_type="F16")

_DECODE = [
    ("rtx-3070", LLAMA_8B, 72.79),
    ("rtx-3080", LLAMA_8B, 109.57),
    ("rtx-3080-ti", LLAMA_8B, 110.60),
    ("rtx-4070-ti", LLAMA_8B, 83.50),
    ("rtx-4080", LLAMA_8B, 108.15),
    ("rtx-3090", LLAMA_8B, 115.42),
    ("rtx-3090", _LLAMA_8B_F16, 47.40),
    ("rtx-4090", LLAMA_8B, 130.58),
    ("rtx-4090", _LLAMA_8B_F16, 54.84),
    ("rtx-3090 rtx-3090", LLAMA_70B, 16.57),
    ("rtx-4090 rtx-4090", LLAMA_70B, 19.22),
    ("m1-max-64gb", LLAMA_8B, 35.73),
    ("m1-max-64gb", _LLAMA_8B_F16, 18.75),
    ("m1-max-64gb", LLAMA_70B, 4.34),
    ("m2-ultra-192gb", LLAMA_8B, 78.81),
    ("m2-ultra-192gb", _LLAMA_8B_F16, 36.90),
    ("m2-ultra-192gb", LLAMA_70B, 12.48),
    ("m2-ultra-192gb", _LLAMA_70B_F16, 4.76),
    ("m3-max-64gb", LLAMA_8B, 48.97),
    ("m3-max-64gb", _LLAMA_8B_F16, 22.04),
    ("m3-max-64gb", LLAMA_70B, 7.65),
    ("m1-max-64gb", LLAMA_8B, 46.2),
    ("m4-16gb", LLAMA_8B, 20.87),
]
_DECODE_BY_NAME = [
    ("rtx-2080", "llama3.2:1b-Q4_K_M", 304.3),
    ("rtx-2080", "gemma2:2b-Q4_K_M", 140.3),
    ("rtx-2080", "llama3.2:3b-Q4_K_M", 140.3),
    ("rtx-2080", "qwen3:4b", 110.6),
    ("rtx-2080", "deepseek-r1:7b", 77.2),
    ("rtx-2080", "mistral:7b", 77.8),
    ("rtx-2080", "qwen3:8b", 69.3),
    ("rtx-2080", "deepseek-r1:8b", 71.7),
    ("rtx-4090", "gpt-oss:20b", 225.0),
    ("m1-ultra-128gb", "gpt-oss:20b", 86.0),
]
_PREFILL = [
    ("rtx-3070", LLAMA_8B, 2402.51),
    ("rtx-3090", LLAMA_8B, 4030.40),
    ("rtx-4080", LLAMA_8B, 5389.74),
    ("rtx-4090", LLAMA_8B, 7138.99),
    ("rtx-4090", _LLAMA_8B_F16, 9382.00),
    ("m1-max-64gb", LLAMA_8B, 408.23),
    ("m2-ultra-192gb", _LLAMA_8B_F16, 1175.40),
    ("m3-max-64gb", LLAMA_8B, 693.32),
]


def _speed(machine: str, model: Shape | str) -> Speed:
    built = build_machine(Wish(names=tuple(machine.split())))
    request = PlanRequest(n_ctx=1024)
    card = _named(model) if isinstance(model, str) else card_of(model)
    plan = make_plan(card, request, built.devices, built.host, built.known)
    assert plan.speed is not None
    return plan.speed


def _named(model: str) -> ModelCard:
    entry, quant = find_entry(model)
    return card_of_entry(entry, chosen_type(entry, quant))


@pytest.mark.parametrize(("machine", "model", "measured"), [*_DECODE, *_DECODE_BY_NAME])
def test_a_published_answer_came_as_fast_as_estimated(
    machine: str, model: Shape | str, measured: float
) -> None:
    lowest, highest = _speed(machine, model).decode_tokens_per_s

    assert lowest <= measured <= highest


@pytest.mark.parametrize(("machine", "shape", "measured"), _PREFILL)
def test_a_published_prompt_was_read_as_fast_as_estimated(
    machine: str, shape: Shape, measured: float
) -> None:
    prefill = _speed(machine, shape).prefill_tokens_per_s

    assert prefill is not None
    assert prefill[0] <= measured <= prefill[1]


def test_ranges_say_something() -> None:
    for machine, shape, _ in _DECODE:
        lowest, highest = _speed(machine, shape).decode_tokens_per_s
        assert highest <= 2.5 * lowest
