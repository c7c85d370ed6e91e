"""The benchmark of published loads: odd records, and what it says of good ones."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import plan_accuracy
from benchmarks.planned_loads import plan_load
from benchmarks.printed_machines import shown_bytes
from benchmarks.printed_models import metadata_of
from benchmarks.published_loads import Load, read_loads
from benchmarks.verdict_replay import replay

_LLAMA: dict[str, Any] = {
    "id": "a",
    "source_url": "https://example.org/1",
    "runtime": "llama.cpp",
    "build": "b4783 (a800ae46)",
    "arch": "llama",
    "n_params": "8.03 B",
    "file_size_printed": "4.58 GiB (4.89 BPW)",
    "n_layer": 32,
    "n_embd": 4096,
    "n_head": 32,
    "n_head_kv": 8,
    "n_vocab": 128_256,
    "tensor_types": {"f32": 66, "q4_K": 193, "q6_K": 33},
    "n_ctx": 8192,
    "n_batch": 2048,
    "n_ubatch": 512,
    "flash_attn": "1",
    "offloaded": "33/33",
    "free_mib_at_start": {"CUDA0": 7793},
    "model_buffers_mib": {"CUDA0": 4403.49, "CPU_Mapped": 281.81},
    "kv_buffers_mib": {"CUDA0": 1024.0},
    "kv_total_mib": 1024.0,
    "compute_buffers_mib": {"CUDA0": 258.5},
}


def _load(**changes: object) -> Load:
    return Load(_LLAMA | changes)


def test_printed_sizes_stand_in_for_key_values() -> None:
    """The width of the network follows from the number of parameters."""
    kv = metadata_of(_load()).header.kv

    assert kv["llama.feed_forward_length"] == 14_336
    assert kv["llama.block_count"] == 32


def test_a_pattern_may_be_printed_with_its_number() -> None:
    assert _load(n_head_kv="[8, 8, 2] x3").per_layer("n_head_kv") == [8, 8, 2] * 3
    assert _load(n_head_kv="[8, x] x3").per_layer("n_head_kv") is None


def test_a_second_buffer_and_a_mapped_one_belong_to_their_device() -> None:
    load = _load(kv_buffers_mib={"CUDA0": 1.0, "CUDA0#2": 2.0, "CUDA10": 3.0, "CUDA9_Mapped": 4.0})

    assert load.on_devices("kv_buffers_mib") == {"CUDA0": 3.0, "CUDA10": 3.0, "CUDA9": 4.0}
    assert load.device_names == ("CUDA0", "CUDA9", "CUDA10")


def test_a_log_without_a_build_has_that_of_the_nearest_day(tmp_path: Path) -> None:
    path = tmp_path / "loads.jsonl"
    days = [("2024-01-05", "b1800"), ("2025-03-01", "b4800"), ("2025-02", None)]
    records = [{"id": str(i), "date": day, "build": build} for i, (day, build) in enumerate(days)]
    path.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")

    loads, odd = read_loads(path)

    assert [load.build for load in loads] == [1800, 4800, 4800]
    assert not odd


@pytest.mark.parametrize(
    ("name", "gib"),
    [
        ("NVIDIA GeForce RTX 4090", 24),
        ("NVIDIA GeForce RTX 4070 Laptop GPU", 8),
        ("Radeon RX 7900 XTX", 24),
        ("NVIDIA A100 80GB PCIe", 80),
        ("NVIDIA RTX A6000", 48),
    ],
)
def test_cards_are_known_by_their_printed_name(name: str, gib: int) -> None:
    assert shown_bytes(name) == int(gib * 2**30 * 0.98)


def test_a_card_nobody_knows_has_no_limit() -> None:
    planned = plan_load(_load(free_mib_at_start=None, device="A card of the future"))

    assert shown_bytes("A card of the future") is None
    assert replay(planned) is None


def test_a_load_that_worked_is_let_through_and_one_too_many_is_not() -> None:
    worked = replay(plan_load(_load()))
    too_long = replay(plan_load(_load(n_ctx=65_536, oom=True)))

    assert worked is not None
    assert worked.fits
    assert worked.is_right
    assert too_long is not None
    assert not too_long.fits
    assert too_long.is_right


def test_experts_sent_to_the_host_by_hand_are_taken_as_printed() -> None:
    planned = plan_load(
        _load(
            arch="qwen3moe", n_layer=48, n_embd=2048, n_head_kv=4, n_embd_head_k=128,
            n_vocab=151_936, n_ff=6144, n_ff_exp=768, n_expert=128, n_expert_used=8,
            n_params="30.53 B", file_size_printed="17.28 GiB (4.86 BPW)", offloaded="49/49",
            tensor_types={"f32": 241, "q4_K": 289, "q6_K": 49},
            model_buffers_mib={"CUDA0": 784.42, "CPU_Mapped": 17_447.91},
            kv_buffers_mib={"CUDA0": 768.0}, kv_total_mib=768.0,
        )
    )  # fmt: skip

    (device,) = planned.devices
    assert planned.is_overridden
    assert planned.request.n_host_experts == 48
    assert device.weights_bytes == int(784.42 * 2**20)


def test_odd_records_are_left_out_with_a_reason_and_end_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    odd: list[dict[str, object]] = [
        {},
        {"id": 7, "oom": "yes", "gguf_kv": [1], "free_mib_at_start": {"CUDA0": "many"}},
        _LLAMA | {"id": "no-arch", "arch": None},
        _LLAMA | {"id": "types", "type_k": "turbo4"},
        _LLAMA | {"id": "layers", "n_layer": "many", "gguf_kv": {"llama.block_count": -3}},
        _LLAMA | {"id": "context", "n_ctx": None},
        _LLAMA | {"id": "fork", "runtime": "ik_llama.cpp (fork)"},
        _LLAMA | {"id": "unified", "kv_unified": [], "n_seq_max": {}, "n_ubatch": "x"},
        _LLAMA | {"id": "offload", "offloaded": "99/33", "device_names": {"CUDA0": 5}},
        {"record_type": "device_limit", "device": "Apple M1 16GB",
         "recommended_max_working_set_mb": 11453.25},
    ]  # fmt: skip
    path = tmp_path / "loads.jsonl"
    lines = [json.dumps(record) for record in (*odd, _LLAMA)]
    path.write_text("\n".join(["no JSON", "[1, 2]", *lines]), encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["plan_accuracy.py", str(path), "--each"])

    plan_accuracy.main()

    *words, last = capsys.readouterr().out.splitlines()
    result = json.loads(last)
    assert result["loads"] == 3  # the good one, and two of which nothing that matters is odd
    assert (result["worked"], result["worked_and_not_refused"]) == (3, 3)
    assert (result["metal_limits"], result["metal_limits_right"]) == (1, 1)
    assert result["errors"]["KV cache and state"]["worst_over"] == pytest.approx(0, abs=1e-5)
    assert not [line for line in words if "the planner broke" in line]
    assert [line for line in words if "no JSON object (line 1, line 2)" in line]
