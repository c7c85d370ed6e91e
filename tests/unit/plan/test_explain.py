from __future__ import annotations

import re
from dataclasses import dataclass, replace

from backends.device import Device, DeviceKind
from localr1.catalogue.entry import find_entry
from localr1.catalogue.header import card_of
from localr1.hardware.machine import Wish, build_machine
from localr1.plan import explain
from localr1.plan.compare import Comparison, compare
from localr1.plan.memory_plan import MemoryPlan, Speed
from localr1.plan.planner import make_plan
from localr1.plan.request import HostMemory, PlanRequest
from localr1.units import GIB, MIB
from quant.gguf.types import FileType
from tests.support.plan_cards import qwen_7b

_HOST = HostMemory(total_bytes=64 * GIB, available_bytes=32 * GIB)
_CPU = Device("CPU", DeviceKind.CPU, "", 64 * GIB, 32 * GIB)
_CARD = Device("CUDA0", DeviceKind.CUDA, "a card", 24 * GIB, 4 * GIB)


@dataclass(frozen=True, slots=True)
class _Measured:
    device: str
    purpose: str
    n_bytes: int


def _text(plan: MemoryPlan) -> str:
    return "\n".join(explain.lines(plan))


def test_a_plan_that_fits_says_what_is_left() -> None:
    text = _text(make_plan(qwen_7b(), PlanRequest(n_ctx=8192), (), _HOST))

    assert "Qwen 7B: 7.6B parameters, Q8_0, file 7.5 GiB" in text
    assert "context 8192 of 131072 tokens, KV f16 at 56 KiB per token" in text
    assert "KV cache  448 MiB" in text
    assert "fits, 23" in text
    assert "longest context that fits: 131072" in text


def test_a_plan_that_does_not_fit_names_stage_and_fixes() -> None:
    host = replace(_HOST, available_bytes=9 * GIB)

    text = _text(make_plan(qwen_7b(), PlanRequest(n_ctx=131_072), (), host))

    assert "does not fit: the weights fit, the KV cache does not" in text
    assert "--kv q4_0" in text
    assert "(not enough alone)" in text
    assert "|" in text  # the limit, inside the bar


def test_the_speed_of_what_does_not_fit_is_said_on_a_condition() -> None:
    speed = Speed(
        decode_tokens_per_s=(2.0, 3.2),
        full_decode_tokens_per_s=(1.8, 3.0),
        prefill_tokens_per_s=None,
        bound_by="memory bandwidth",
    )
    fitting = make_plan(qwen_7b(), PlanRequest(n_ctx=4096), (), _HOST)
    failing = make_plan(qwen_7b(), PlanRequest(n_ctx=4096), (), replace(_HOST, available_bytes=GIB))

    assert "estimated speed: 2.0 to 3.2 tokens/s" in _text(replace(fitting, speed=speed))
    assert "with enough memory: 2.0 to 3.2 tokens/s" in _text(replace(failing, speed=speed))


def test_a_context_beyond_training_is_not_called_one_that_fits() -> None:
    text = _text(make_plan(qwen_7b(), PlanRequest(n_ctx=140_000), (), _HOST))

    assert "but it was trained on 131072 tokens only" in text
    assert "longest context that fits" not in text


def test_offloaded_layers_are_named_per_place() -> None:
    text = _text(make_plan(qwen_7b(), PlanRequest(n_ctx=4096), (_CARD,), _HOST))

    assert "CUDA0" in text
    assert "layers on the GPU" in text


def test_experts_on_the_host_are_counted_without_the_dense_layers() -> None:
    here = build_machine(Wish(names=("rtx-4090",), ram_bytes=512 * GIB))
    entry, _ = find_entry("deepseek-r1:671b")
    card = card_of(entry, FileType.Q4_K_M)

    text = _text(make_plan(card, PlanRequest(), here.devices, here.host, here.known))

    on_card, in_all = re.findall(r"the experts of (\d+)", text)
    assert on_card == in_all
    assert 0 < int(in_all) <= 61 - 3  # the first three layers are dense
    assert "(still not all on the GPU)" in text


def test_speeds_have_two_digits_and_more_from_ten_on() -> None:
    assert explain.rate((9.94, 9.96)) == "9.9 to 10"
    assert explain.rate((41.2, 41.4)) == "41"


def test_every_bar_is_equally_wide() -> None:
    lines = explain.lines(make_plan(qwen_7b(), PlanRequest(n_ctx=4096), (_CARD,), _HOST))

    bars = [line for line in lines if line.startswith(("CUDA0", "CPU"))]
    assert len(bars) == 2
    assert all(sum(character in "█▓▒░·" for character in bar) == 40 for bar in bars)


def test_escape_sequences_in_names_are_disarmed() -> None:
    card = replace(qwen_7b(), name="evil\x1b[2Jname")

    assert "\x1b" not in _text(make_plan(card, PlanRequest(), (), _HOST))


def test_measured_buffers_are_put_beside_their_predictions() -> None:
    plan = make_plan(qwen_7b(), PlanRequest(n_ctx=4096, device="cpu"), (_CPU,), _HOST)
    buffers = [
        _Measured("CPU_Mapped", "weights", plan.host.weights_bytes - MIB),
        _Measured("CPU_REPACK", "weights", MIB),
        _Measured("CPU", "kv", plan.host.kv_bytes),
        _Measured("CPU", "compute", 2 * plan.host.compute_bytes),
        _Measured("CPU", "output", plan.host.output_bytes),
    ]

    rows = compare(plan, buffers)

    assert [(row.purpose, row.device) for row in rows] == [
        ("weights", "CPU"),
        ("kv", "CPU"),
        ("compute", "CPU"),
        ("output", "CPU"),
    ]
    assert [row.difference for row in rows] == [0.0, 0.0, -0.5, 0.0]


def test_buffers_of_a_card_and_its_host_memory_are_told_apart() -> None:
    plan = make_plan(qwen_7b(), PlanRequest(n_ctx=4096), (_CARD,), _HOST)

    rows = compare(plan, [_Measured("CUDA0", "kv", 5), _Measured("CUDA_Host", "compute", 7)])

    found = {(row.device, row.purpose): row.measured_bytes for row in rows}
    assert found["CUDA0", "kv"] == 5
    assert found["CPU", "compute"] == 7


def test_a_buffer_nobody_planned_is_shown() -> None:
    plan = make_plan(qwen_7b(), PlanRequest(n_ctx=4096), (), _HOST)

    rows = compare(plan, [_Measured("CPU", "recurrent", MIB)])

    assert Comparison("recurrent", "CPU", 0, MIB) in rows


def test_the_table_marks_what_is_off_by_more_than_five_percent() -> None:
    lines = explain.comparison_lines(
        [
            Comparison("kv", "CPU", 100 * MIB, 100 * MIB),
            Comparison("compute", "CPU", 150 * MIB, 100 * MIB),
            Comparison("weights", "CPU", 60 * MIB, 100 * MIB),
        ]
    )

    assert lines[1].endswith("as planned")
    assert lines[2].endswith("planned 50% too much")
    assert lines[3].endswith("planned 40% too little")


def test_what_a_log_rounds_away_counts_as_planned() -> None:
    assert Comparison("output", "CPU", 4096, 0).difference == 0.0
