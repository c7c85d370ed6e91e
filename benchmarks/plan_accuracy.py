"""Plans against loads that other people published: every buffer as llama.cpp printed it.

Each record is one load log: key-values of the model, what was asked, and the printed buffers. The
plan is made from the key-values and the file's size alone, before any file. One vote per source
page, because one thread can hold six loads. Beside it stand formulas of other tools, as their
sources describe them. Prints tables and, last, one JSON line.

    python benchmarks/plan_accuracy.py [LOADS.jsonl] [--each]
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backends.device import Device, DeviceKind
from backends.errors import BackendError
from localr1.errors import LocalR1Error
from localr1.metadata.reader import read_metadata
from localr1.metadata.request import read_request
from localr1.model_facts.card import ModelCard
from localr1.plan.kv_cache import kv_bytes_per_layer
from localr1.plan.memory_plan import DevicePlan, MemoryPlan
from localr1.plan.planner import make_plan
from localr1.plan.request import HostMemory, PlanRequest
from localr1.units import GIB, MIB

_LOADS = Path(__file__).parent / "data" / "published_loads.jsonl"
_FILE_SIZE = re.compile(r"([\d.]+) ([GM])iB")
_ON_HOST = re.compile(r"CPU|Host|AMX|REPACK|BLAS")
_SECOND_COPY = re.compile(r"AMX|AARCH64|REPACK")
_PLENTY = 2**50
_SMALLEST_FILE_BYTES = 1.5 * GIB

_ASKED = ("n_ctx", "n_batch", "n_ubatch", "n_seq_max", "type_k", "type_v")

Load = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Score:
    """One prediction against what was printed."""

    load: Load
    planned_mib: float
    printed_mib: float

    @property
    def error(self) -> float:
        """Signed, as a part of what was printed."""
        return self.planned_mib / self.printed_mib - 1


def main() -> None:
    """Score every load, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("loads", nargs="?", type=Path, default=_LOADS)
    parser.add_argument("--each", action="store_true", help="print every prediction")
    options = parser.parse_args()
    loads = [json.loads(line) for line in options.loads.read_text(encoding="utf-8").splitlines()]
    loads = [load for load in loads if "ik_llama" not in str(load.get("runtime"))]
    loads = [_dated(load, loads) for load in loads]
    planned = [(load, plan) for load in loads if (plan := _plan(load)) is not None]
    print(f"{len(loads)} mainline loads, {len(planned)} of them with the model's key-values\n")
    ours = {
        "KV cache and state": _scores(planned, _kv),
        "weights on the device": _scores(planned, _weights),
        "compute buffer": _scores(planned, _compute),
    }
    others = _totals(planned)
    print(_table(ours))
    print("Total on the device of full offloads, files of 1.5 GiB and more:\n")
    print(_table(others))
    if options.each:
        _print_each(ours)
    summary = {name: _summary(scores) for name, scores in (ours | others).items()}
    print(json.dumps({"benchmark": "plan_accuracy", "loads": len(planned), "errors": summary}))


def _dated(load: Load, loads: list[Load]) -> Load:
    """A load whose log does not name its build gets that of the load nearest in time."""
    if load.get("build") or not load.get("date"):
        return load
    known = [other for other in loads if other.get("build") and other.get("date")]
    nearest = min(known, key=lambda other: abs(_day(other["date"]) - _day(load["date"])))
    return load | {"build": nearest["build"]}


def _day(date: str) -> int:
    """A number for a date; a month without a day counts from its first."""
    year, month, day = (*map(int, date.split("-")), 1, 1)[:3]
    return (year * 12 + month) * 31 + day


def _plan(load: Load) -> MemoryPlan | None:
    """The plan of a load on devices that hold anything; None where too little was printed."""
    if not load.get("gguf_kv") or not isinstance(load.get("n_ctx"), int):
        return None
    kv = load["gguf_kv"] | {f"{load['arch']}.vocab_size": load.get("n_vocab")}
    document = {
        "gguf_kv": kv,
        "tensor_types": load.get("tensor_types"),
        "file_bytes": _file_bytes(load),
    }
    try:
        card = ModelCard.from_header(read_metadata(json.dumps(document), load["id"]).header)
        if card.unplanned:
            print(f"{load['id']}: said to be not sized: {', '.join(card.unplanned)}")
            return None
        return make_plan(
            card,
            _request(load),
            _devices(load),
            HostMemory(total_bytes=_PLENTY, available_bytes=_PLENTY),
        )
    except (LocalR1Error, BackendError) as exc:
        print(f"{load['id']}: not planned: {exc}")
        return None


def _file_bytes(load: Load) -> int | None:
    match = _FILE_SIZE.match(load.get("file_size_printed") or "")
    return int(float(match[1]) * (GIB if match[2] == "G" else MIB)) if match else None


def _request(load: Load) -> PlanRequest:
    offloaded = _offloaded(load)
    return read_request(
        {
            "n_gpu_layers": offloaded[0] if offloaded else None,
            # before it could be chosen, there was none
            "flash_attn": load.get("flash_attn", "off"),
            "engine": load.get("build"),
        }
        | {name: load.get(name) for name in _ASKED}
    )


def _offloaded(load: Load) -> tuple[int, int] | None:
    match = re.fullmatch(r"(\d+)/(\d+)", load.get("offloaded") or "")
    return (int(match[1]), int(match[2])) if match else None


def _devices(load: Load) -> tuple[Device, ...]:
    names = dict.fromkeys(
        name
        for key in ("compute_buffers_mib", "kv_buffers_mib", "model_buffers_mib")
        for name in load.get(key) or {}
        if not _ON_HOST.search(name)
    )
    return tuple(
        Device(name.removesuffix("_Mapped"), DeviceKind.CUDA, name, _PLENTY, _PLENTY)
        for name in names
    )


def _kv(load: Load, plan: MemoryPlan) -> tuple[float, float] | None:
    planned = sum(p.kv_bytes + p.recurrent_bytes for p in (*plan.devices, plan.host)) / MIB
    return (planned, load["kv_total_mib"]) if load.get("kv_total_mib") else None


def _weights(load: Load, plan: MemoryPlan) -> tuple[float, float] | None:
    """Of all devices of a full offload, or of the host where there is none."""
    buffers = load.get("model_buffers_mib") or {}
    if plan.devices and _is_full(load):
        printed = sum(mib for name, mib in buffers.items() if not _ON_HOST.search(name))
        return (sum(d.weights_bytes for d in plan.devices) / MIB, printed) if printed else None
    if plan.devices or any(_SECOND_COPY.search(name) for name in buffers):
        return None
    printed = sum(buffers.values())
    return (plan.host.weights_bytes / MIB, printed) if printed else None


def _compute(load: Load, plan: MemoryPlan) -> tuple[float, float] | None:
    """Of the only device, where flash attention and the batch are known."""
    if load.get("flash_attn") is None or not load.get("n_ubatch"):
        return None
    on_devices, on_host = load.get("compute_buffers_mib"), load.get("host_compute_mib") or {}
    if on_devices and len(on_devices) == 1 and len(plan.devices) == 1:
        return plan.devices[0].compute_bytes / MIB, next(iter(on_devices.values()))
    if not on_devices and set(on_host) == {"CPU"} and not plan.devices:
        return plan.host.compute_bytes / MIB, on_host["CPU"]
    return None


def _is_full(load: Load) -> bool:
    offloaded = _offloaded(load)
    return offloaded is not None and offloaded[0] >= offloaded[1]


def _scores(planned: Iterable[tuple[Load, MemoryPlan]], pair: Any) -> list[Score]:
    return [Score(load, *found) for load, plan in planned if (found := pair(load, plan))]


def _totals(planned: Iterable[tuple[Load, MemoryPlan]]) -> dict[str, list[Score]]:
    """Ours and the formulas of other tools, on full offloads with all buffers printed."""
    scores: dict[str, list[Score]] = defaultdict(list)
    for load, plan in planned:
        file_bytes = _file_bytes(load) or 0
        parts = [load.get(f"{part}_buffers_mib", {}) for part in ("model", "kv", "compute")]
        if not _is_full(load) or load.get("oom") or file_bytes < _SMALLEST_FILE_BYTES:
            continue
        if not plan.devices or not all(parts):
            continue
        printed = sum(
            mib for part in parts for name, mib in part.items() if not _ON_HOST.search(name)
        )
        scores["localr1"].append(Score(load, sum(map(_total_bytes, plan.devices)) / MIB, printed))
        for name, n_bytes in _formulas(load, plan.card, file_bytes).items():
            scores[name].append(Score(load, n_bytes / MIB, printed))
    return scores


def _total_bytes(device: DevicePlan) -> int:
    return device.weights_bytes + device.kv_bytes + device.recurrent_bytes + device.compute_bytes


def _formulas(load: Load, card: ModelCard, file_bytes: int) -> dict[str, float]:
    """What other tools would say, from their sources' description (August 2026)."""
    n_ctx = load["n_ctx"]
    f16 = PlanRequest(n_ctx=n_ctx)
    f16_kv_bytes = sum(kv_bytes_per_layer(card, f16, n_ctx))
    n_kv = min(card.n_head_kv) * (card.n_embd // max(card.n_head)) if max(card.n_head) else 0
    n_params_b = card.n_params / 1e9
    return {
        "Ollama, admission test": file_bytes + 2 * card.n_layer * n_kv * n_ctx * 2,
        "file + f16 KV + 512 MiB": file_bytes + f16_kv_bytes + 512 * MIB,
        "KoboldCpp of 2024": _koboldcpp(card, n_ctx, file_bytes),
        "file x 1.2": file_bytes * 1.2,
        "whichllm": file_bytes
        + (3.5 * MIB * n_params_b * n_ctx / 1024)
        + (0.4 + 0.08 * n_params_b + 0.15 * n_ctx / 4096 + 0.5) * 1e9,
    }


def _koboldcpp(card: ModelCard, n_ctx: int, file_bytes: int) -> float:
    factor = 1.0 if n_ctx <= 2048 else (1.1 if n_ctx <= 4096 else 1.2)
    head_dim = card.n_embd // max(*card.n_head, 1)
    by_shape = (
        file_bytes
        + card.n_layer * max(card.n_head_kv) * head_dim * n_ctx * 4.4
        + card.n_layer * head_dim * n_ctx * 24
    )
    return min(file_bytes * factor * 1.55, by_shape) + 1.5 * GIB


def _votes(scores: list[Score]) -> list[float]:
    """One absolute error per source page: the median of its loads."""
    by_page: dict[str, list[float]] = defaultdict(list)
    for score in scores:
        by_page[score.load["source_url"]].append(abs(score.error))
    return [statistics.median(errors) for errors in by_page.values()]


def _summary(scores: list[Score]) -> dict[str, float]:
    votes = sorted(_votes(scores))
    if not votes:
        return {"loads": 0, "pages": 0}
    return {
        "loads": len(scores),
        "pages": len(votes),
        "median": round(statistics.median(votes), 5),
        "p90": round(votes[min(int(0.9 * len(votes)), len(votes) - 1)], 5),
        "worst_over": round(max(0.0, *(score.error for score in scores)), 5),
        "worst_under": round(min(0.0, *(score.error for score in scores)), 5),
    }


def _table(named: dict[str, list[Score]]) -> str:
    lines = [f"{'':28} loads pages   median      p90     over    under"]
    for name, scores in named.items():
        row = _summary(scores)
        if row["loads"]:
            figures = "".join(
                f"{row[key]:>9.2%}" for key in ("median", "p90", "worst_over", "worst_under")
            )
            lines.append(f"{name:28} {row['loads']:>5} {row['pages']:>5}{figures}")
    return "\n".join(lines) + "\n"


def _print_each(named: dict[str, list[Score]]) -> None:
    for name, scores in named.items():
        for score in sorted(scores, key=lambda score: -abs(score.error)):
            load = score.load
            print(
                f"{name:22} {load['id']} {load.get('build', '')[:6]:6} {load['arch']:10} "
                f"{load.get('offloaded', ''):7} {score.planned_mib:10.2f} "
                f"{score.printed_mib:10.2f} {score.error:+8.2%}"
            )


if __name__ == "__main__":
    main()
