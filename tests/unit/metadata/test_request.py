"""Requests for a plan in JSON."""

from __future__ import annotations

from typing import Any

import pytest

from localr1.errors import UsageError
from localr1.metadata.request import read_request
from localr1.plan.request import PlanRequest


def test_what_is_missing_is_the_default() -> None:
    assert read_request({}) == PlanRequest()


def test_words_are_those_of_the_plans_own_json() -> None:
    request = read_request(
        {
            "n_ctx": 8192, "n_batch": 512, "n_ubatch": 256, "n_seq_max": 2, "flash_attn": "on",
            "type_k": "q8_0", "type_v": "q8_0", "n_gpu_layers": 10, "swa_full": True,
            "mmap": False, "engine": "b5002 (2c3f8b85)",
        }
    )  # fmt: skip

    assert request == PlanRequest(
        n_ctx=8192, n_batch=512, n_ubatch=256, n_seq_max=2, flash_attn="on", type_k="q8_0",
        type_v="q8_0", n_gpu_layers=10, swa_full=True, use_mmap=False, engine_build=5002,
    )  # fmt: skip


@pytest.mark.parametrize(("value", "meant"), [("1", "on"), ("0", "off"), (True, "on"), (0, "off")])
def test_flash_attention_may_be_as_a_log_prints_it(value: object, meant: str) -> None:
    assert read_request({"flash_attn": value}).flash_attn == meant


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"n_ctx": "many"}, "n_ctx is 'many'"),
        ({"n_ctx": [4096]}, "n_ctx is .*4096"),
        ({"n_ubatch": 1.5}, "n_ubatch is '1.5'"),
        ({"n_gpu_layers": -1}, "n_gpu_layers is '-1'"),
        ({"flash_attn": "perhaps"}, "flash_attn is 'perhaps'"),
        ({"swa_full": "yes"}, "swa_full is 'yes'"),
    ],
)
def test_nonsense_is_refused_by_name(values: dict[str, Any], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        read_request(values)
