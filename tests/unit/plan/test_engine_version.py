"""Older versions of llama.cpp, where they differ."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backends.device import Device, DeviceKind
from localr1.catalogue.entry import entries
from localr1.catalogue.header import card_of as catalogue_card
from localr1.plan.compute_buffers import ComputeBuffers
from localr1.plan.engine_version import layers_on_gpus
from localr1.plan.hardware import Hardware
from localr1.plan.kv_cache import kv_bytes_per_layer, padded_cells
from localr1.plan.offload import Split
from localr1.plan.planner import make_plan
from localr1.plan.request import HostMemory, PlanRequest
from localr1.plan.weights import WeightTable
from localr1.units import GIB, MIB
from quant.gguf.types import FileType
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


def _remote(name: str) -> Device:
    """A device that borrows no matrices of the host, wherever the output layer is."""
    return Device(name, DeviceKind.RPC, name, 2**35, 2**35)


@pytest.mark.parametrize(("build", "are_copied"), [(None, True), (4753, True), (2134, False)])
def test_gpus_did_not_always_work_at_once(build: int | None, *, are_copied: bool) -> None:
    card = card_of(QWEN_1_5B)
    request = PlanRequest(n_ctx=4096, engine_build=build)
    host = HostMemory(total_bytes=2**36, available_bytes=2**36)
    gpus = Hardware(gpus=(_remote("RPC0"), _remote("RPC1")), host=host)
    buffers = ComputeBuffers(card, request, gpus)

    n_layers = card.n_layer + 1
    whole = buffers.on_gpus(4096, Split((20, n_layers - 20)))
    all_but_one = buffers.on_gpus(4096, Split((20, n_layers - 21)))

    # what is fed to the first card is there four times
    assert (whole[0].n_bytes - all_but_one[0].n_bytes > 8 * 2**20) is are_copied


def test_gates_once_were_applied_in_place() -> None:
    card = replace(card_of(QWEN_1_5B), n_vocab=1000)  # else the logits hide it
    alone = Hardware(gpus=(), host=HostMemory(total_bytes=2**36, available_bytes=2**36))
    before, after = (
        ComputeBuffers(card, PlanRequest(engine_build=build), alone).host_bytes(512, Split(()))
        for build in (5781, 5782)
    )

    assert before < after


@pytest.mark.parametrize(
    ("build", "n_gpu_layers", "expected"),
    [
        (None, 10, range(23, 33)),
        (7466, 10, range(23, 33)),
        (4783, 10, range(22, 32)),
        (4783, 32, range(32)),
        (4783, 33, range(33)),
        (4783, 0, range(33, 33)),
    ],
)
def test_the_output_layer_once_was_the_last_to_move(
    build: int | None, n_gpu_layers: int, expected: range
) -> None:
    assert layers_on_gpus(n_gpu_layers, 32, build) == expected


def test_a_published_partial_offload_of_2025_is_repeated() -> None:
    """Llama-3 8B in Q4_K_M on an RTX 4070 laptop, 10 of 33 layers, build 4783."""
    card = catalogue_card(entries()["llama3.1:8b"], FileType.Q4_K_M)
    gpu = Device("CUDA0", DeviceKind.CUDA, "", 8 * GIB, 7793 * MIB)
    host = HostMemory(total_bytes=64 * GIB, available_bytes=64 * GIB)
    request = PlanRequest(n_ctx=131_072, flash_attn="on", n_gpu_layers=10, engine_build=4783)

    (device,) = make_plan(card, request, (gpu,), host, with_fixes=False).devices

    assert device.layers == (22, 31)
    printed = (1263.13, 5120.00, 920.00)
    planned = (device.weights_bytes, device.kv_bytes, device.compute_bytes)
    assert [n_bytes / MIB for n_bytes in planned] == pytest.approx(printed, rel=0.002)


@pytest.mark.parametrize(
    ("name", "file_type", "request_", "printed"),
    [
        (
            "qwen2.5:7b", FileType.Q8_0,
            PlanRequest(n_batch=32, n_ubatch=32, flash_attn="off", engine_build=2874), 571.23,
        ),
        (
            "llama3:8b", FileType.Q4_K_M,
            PlanRequest(n_batch=128, n_ubatch=128, flash_attn="off", engine_build=3212), 475.60,
        ),
    ],
)  # fmt: skip
def test_a_gpu_without_layers_borrows_the_output_of_published_loads(
    name: str, file_type: FileType, request_: PlanRequest, printed: float
) -> None:
    """Logged by llama.cpp with 0 layers on the GPU, 512 and 256 tokens (issues 8503 and 8458)."""
    n_ctx = 512 if request_.n_ubatch == 32 else 256
    host = HostMemory(total_bytes=2**36, available_bytes=2**36)
    gpu = Device("CUDA0", DeviceKind.CUDA, "", 2**36, 2**36)
    card = catalogue_card(entries()[name], file_type)

    buffers = ComputeBuffers(card, request_, Hardware(gpus=(gpu,), host=host))

    assert buffers.of_helper(n_ctx) / MIB == pytest.approx(printed, rel=0.001)


@pytest.mark.parametrize(("build", "is_there"), [(None, False), (8637, False), (5884, True)])
def test_rows_per_layer_once_lay_on_the_gpu(build: int | None, *, is_there: bool) -> None:
    card = catalogue_card(entries()["gemma3n:e4b"], FileType.Q8_0)

    names = {tensor.name for tensor in WeightTable(card, build).of_gpu((card.n_layer,), 0)}

    assert ("per_layer_token_embd.weight" in names) is is_there
