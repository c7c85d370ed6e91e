"""Older versions of llama.cpp, where they differ."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backends.device import Device, DeviceKind
from localr1.plan.compute import cpu_compute_bytes
from localr1.plan.compute_buffers import ComputeBuffers
from localr1.plan.hardware import Hardware
from localr1.plan.kv_cache import kv_bytes_per_layer, padded_cells
from localr1.plan.offload import Split
from localr1.plan.request import HostMemory, PlanRequest
from tests.support.plan_cards import qwen_7b
from tests.support.plan_models import QWEN_1_5B, card_of


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


def _card(name: str) -> Device:
    return Device(name, DeviceKind.CUDA, name, 2**35, 2**35)


@pytest.mark.parametrize(("build", "are_copied"), [(None, True), (4753, True), (2134, False)])
def test_gpus_did_not_always_work_at_once(build: int | None, *, are_copied: bool) -> None:
    card = card_of(QWEN_1_5B)
    request = PlanRequest(n_ctx=4096, engine_build=build)
    host = HostMemory(total_bytes=2**36, available_bytes=2**36)
    gpus = Hardware(gpus=(_card("CUDA0"), _card("CUDA1")), host=host)
    buffers = ComputeBuffers(card, request, gpus)

    n_layers = card.n_layer + 1
    whole = buffers.sizes(4096, Split((20, n_layers - 20)))
    all_but_one = buffers.sizes(4096, Split((20, n_layers - 21)))

    # what is fed to the first card is there four times
    assert (whole[0] - all_but_one[0] > 8 * 2**20) is are_copied


def test_gates_once_were_applied_in_place() -> None:
    card = replace(card_of(QWEN_1_5B), n_vocab=1000)  # else the logits hide it
    before, after = (
        cpu_compute_bytes(card, PlanRequest(n_ctx=512, engine_build=build), 512)
        for build in (5781, 5782)
    )

    assert before < after
