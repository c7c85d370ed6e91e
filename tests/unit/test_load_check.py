"""What is said and kept when a load takes other memory than planned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from backends.device import Device, DeviceKind
from localr1.load_check import LoadCheck
from localr1.plan.hardware import Known
from localr1.plan.ledger import Entry, Factor, What, Where
from localr1.plan.memory_plan import MemoryPlan
from localr1.plan.planner import make_plan
from localr1.plan.request import HostMemory, PlanRequest
from localr1.units import GIB, MIB
from localr1.worker.frames import BufferPurpose, EngineInfo, MeasuredBuffer
from tests.support.plan_cards import qwen_7b

_CPU = Device("CPU", DeviceKind.CPU, "a processor", 64 * GIB, 32 * GIB)
_CARD = Device("CUDA0", DeviceKind.CUDA, "a card", 24 * GIB, 23 * GIB)
_HOST = HostMemory(total_bytes=64 * GIB, available_bytes=32 * GIB)
_COMPUTE = What(arch="qwen2", purpose="compute", setting="flash attention, f16/f16")
_NOTHING: Mapping[str, Known] = MappingProxyType({})


@dataclass
class _Ledger:
    """Keeps entries in a list."""

    is_writable: bool = True
    entries: list[Entry] = field(default_factory=list)

    def remember(self, entries: Iterable[Entry]) -> bool:
        self.entries += entries if self.is_writable else ()
        return self.is_writable


def _plan(known: Mapping[str, Known] = _NOTHING) -> MemoryPlan:
    return make_plan(qwen_7b(), PlanRequest(n_ctx=8192), (_CPU, _CARD), _HOST, known)


def _check(
    plan: MemoryPlan, ledger: _Ledger, *buffers: tuple[str, BufferPurpose, int]
) -> LoadCheck:
    info = EngineInfo(
        pid=1,
        llama_cpp_python="0.3.36",
        supports_gpu_offload=True,
        supports_rpc=False,
        devices=(_CPU, _CARD),
    )
    measured = tuple(MeasuredBuffer(device=d, purpose=p, n_bytes=n) for d, p, n in buffers)
    return LoadCheck(plan=plan, info=info, buffers=measured, remember=ledger.remember)


def test_a_load_as_planned_is_not_worth_a_word() -> None:
    plan, ledger = _plan(), _Ledger()
    kv_bytes, compute_bytes = plan.devices[0].kv_bytes, plan.devices[0].compute_bytes
    check = _check(plan, ledger, ("CUDA0", "kv", kv_bytes), ("CUDA0", "compute", compute_bytes))

    assert check.after_load() == []
    assert ledger.entries == []


def test_buffers_that_are_off_are_told_in_one_line_and_kept() -> None:
    plan, ledger = _plan(), _Ledger()
    kv_bytes, compute_bytes = plan.devices[0].kv_bytes, plan.devices[0].compute_bytes

    (notice,) = _check(
        plan,
        ledger,
        ("CUDA0", "kv", kv_bytes * 9 // 10),
        ("CUDA0", "compute", compute_bytes * 3 // 2),
    ).after_load()

    assert notice.code == "plan_differs"
    assert "kv on CUDA0 took 403 MiB, 10 % less than planned; compute on CUDA0" in notice.message
    assert notice.message.endswith("50 % more than planned; the next plan counts with it")
    assert ledger.entries[1] == Entry(
        where=Where(engine="0.3.36", kind=DeviceKind.CUDA, device="a card"),
        what=_COMPUTE,
        planned_bytes=compute_bytes,
        measured_bytes=compute_bytes * 3 // 2,
    )


def test_a_few_mebibytes_are_not_worth_a_word() -> None:
    ledger = _Ledger()
    output_bytes = _plan().host.output_bytes + 7 * MIB

    assert _check(_plan(), ledger, ("CUDA_Host", "output", output_bytes)).after_load() == []
    assert ledger.entries == []


def test_a_log_that_does_not_name_a_buffer_says_nothing_about_it() -> None:
    ledger = _Ledger()

    assert _check(_plan(), ledger).after_load() == []
    assert ledger.entries == []


def test_a_buffer_nobody_planned_is_told_and_teaches_no_factor() -> None:
    ledger = _Ledger()

    (notice,) = _check(_plan(), ledger, ("CUDA0", "recurrent", 100 * MIB)).after_load()

    assert notice.message == "recurrent on CUDA0 took 100 MiB, which was not planned"
    assert ledger.entries == []


def test_a_ledger_that_cannot_be_written_is_not_boasted_of() -> None:
    ledger = _Ledger(is_writable=False)

    (notice,) = _check(_plan(), ledger, ("CUDA0", "kv", GIB)).after_load()

    assert notice.message.endswith("than planned")


def test_a_corrected_plan_that_is_right_is_quiet_and_keeps_what_the_formula_said() -> None:
    before = _plan().devices[0].compute_bytes
    plan, ledger = _plan({"CUDA0": Known(factors={_COMPUTE: Factor(1.5, 2)})}), _Ledger()
    compute_bytes = plan.devices[0].compute_bytes

    assert _check(plan, ledger, ("CUDA0", "compute", compute_bytes)).after_load() == []
    (entry,) = ledger.entries
    assert (entry.planned_bytes, entry.measured_bytes) == (before, compute_bytes)


def test_a_process_that_outgrows_its_plan_is_told_after_the_first_run() -> None:
    plan, ledger = _plan(), _Ledger()
    check = _check(plan, ledger, ("CPU_Mapped", "weights", 500 * MIB), ("CUDA0", "kv", 9 * GIB))
    most_bytes = plan.host.overhead_bytes[1]

    assert check.after_first_run(500 * MIB + most_bytes) == []
    assert ledger.entries == []
    (notice,) = check.after_first_run(500 * MIB + 2 * most_bytes)

    assert notice.message.startswith("process on CPU took")
    assert "100 % more than planned" in notice.message
    assert ledger.entries[0].what == What(arch="qwen2", purpose="process", setting="")


def test_a_small_process_is_no_error() -> None:
    ledger = _Ledger()

    assert _check(_plan(), ledger, ("CPU_Mapped", "weights", GIB)).after_first_run(50 * MIB) == []


def test_a_process_that_is_small_again_is_unlearned_in_silence() -> None:
    most_bytes = _plan().host.overhead_bytes[1]
    process = What(arch="qwen2", purpose="process", setting="")
    ledger = _Ledger()
    plan = _plan({"CPU": Known(factors={process: Factor(2.0, 1)})})

    assert plan.host.overhead_bytes[1] == 2 * most_bytes
    assert _check(plan, ledger).after_first_run(50 * MIB) == []
    (entry,) = ledger.entries
    assert entry.planned_bytes == entry.measured_bytes == most_bytes
