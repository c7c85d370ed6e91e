"""Older versions of llama.cpp, where they differ."""

from __future__ import annotations

import pytest

from localr1.plan.kv_cache import kv_bytes_per_layer, padded_cells
from localr1.plan.request import PlanRequest
from tests.support.plan_cards import qwen_7b


@pytest.mark.parametrize(
    ("build", "flash_attn", "n_cells"),
    [
        (None, "off", 8448),
        (7000, "off", 8448),
        (6900, "off", 8225),
        (6000, "off", 8256),
        (6000, "on", 8448),
        (2800, "off", 8448),
    ],
)
def test_cells_are_rounded_as_that_version_did(
    build: int | None, flash_attn: str, n_cells: int
) -> None:
    request = PlanRequest(engine_build=build, flash_attn=flash_attn)  # type: ignore[arg-type]

    assert padded_cells(8225, request) == n_cells


def test_sequences_once_shared_all_cells() -> None:
    card = qwen_7b()
    ours = PlanRequest(n_seq_max=3)
    unified = PlanRequest(n_seq_max=3, kv_unified=True)
    old = PlanRequest(n_seq_max=3, engine_build=5000)

    assert kv_bytes_per_layer(card, old, 4096) == kv_bytes_per_layer(card, unified, 4096)
    assert sum(kv_bytes_per_layer(card, ours, 4096)) > sum(kv_bytes_per_layer(card, old, 4096))
