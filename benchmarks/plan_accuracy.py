"""Plans against loads that other people published: every buffer, and the verdict.

Each record is one load log: key-values of the model, what was asked, and the printed buffers. The
plan is made from the key-values and the file's size alone, before any file. One vote per source
page, because one thread can hold six loads. Beside it stand formulas of other tools, as their
sources describe them. Sizes are scored on llama.cpp itself; loads that ran out of memory are
replayed whatever ran them. Prints tables, why records were left out, and, last, one JSON line.

    python benchmarks/plan_accuracy.py [LOADS.jsonl] [--each]
"""

from __future__ import annotations

import argparse
import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from benchmarks import metal_limits, verdict_replay
from benchmarks.other_tools import formulas
from benchmarks.planned_loads import NotPlannedError, PlannedLoad, plan_load
from benchmarks.published_loads import Load, read_loads
from benchmarks.scores import Score, each, summary, table
from localr1.model_facts.card import Unplanned
from localr1.plan.device_plan import DevicePlan
from localr1.units import GIB, MIB

_LOADS = Path(__file__).parent / "data" / "published_loads.jsonl"
_SMALLEST_FILE_BYTES = 1.5 * GIB
_AS_PLANNED = 0.02  # of the cache: the layers lie where the plan has them

_SHOWN_IDS = 6

Reasons = defaultdict[str, list[str]]
"""The records that were left out, by why."""
Pair = tuple[float, float]
"""Planned and printed, in MiB."""


def main() -> None:
    """Score every load, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("loads", nargs="?", type=Path, default=_LOADS)
    parser.add_argument("--each", action="store_true", help="print every prediction and verdict")
    options = parser.parse_args()
    left_out: Reasons = defaultdict(list)
    loads, odd = read_loads(options.loads)
    if odd:
        left_out["no JSON object"] = odd
    planned = list(_planned(loads, left_out))
    mainline = [one for one in planned if one.load.is_mainline]
    ours = {
        "KV cache and state": _scores(mainline, _kv),
        "weights on the device": _scores(mainline, _weights),
        "compute buffer": _scores(mainline, _compute),
    }
    totals = _totals(mainline)
    replays = [found for one in planned if (found := verdict_replay.replay(one))]
    print(f"{len(loads)} records, {len(planned)} planned, {len(mainline)} of them of llama.cpp\n")
    print(table(ours))
    print("Total on the device of full offloads, files of 1.5 GiB and more:\n")
    print(table(totals))
    verdicts, counts = verdict_replay.report(replays)
    limits, n_limits = metal_limits.report(loads)
    print(f"{verdicts}\n\n{limits}\n")
    print(_in_words(left_out))
    if options.each:
        print("\n" + each(ours))
        print("\n".join(map(str, replays)))
    errors = {name: summary(scores) for name, scores in (ours | totals).items()}
    result = {"benchmark": "plan_accuracy", "loads": len(planned), "errors": errors}
    print(json.dumps(result | counts | n_limits))


def _planned(loads: Iterable[Load], left_out: Reasons) -> Iterator[PlannedLoad]:
    """Every load that can be planned; why others cannot is kept."""
    for load in loads:
        if load.kind != "load":
            left_out[f"no load: {load.kind}"].append(load.id)
        elif not load.is_mainline and not load.ran_out:
            left_out["worked in a fork, which has other buffers"].append(load.id)
        else:
            try:
                yield plan_load(load)
            except NotPlannedError as exc:
                left_out[str(exc)].append(load.id)
            except Exception as exc:  # noqa: BLE001 - a plan that breaks must not hide the others
                left_out[f"the planner broke: {exc!r:.80}"].append(load.id)


def _in_words(left_out: Reasons) -> str:
    lines = ["left out:"]
    for reason, ids in sorted(left_out.items(), key=lambda item: -len(item[1])):
        more = " ..." if len(ids) > _SHOWN_IDS else ""
        lines.append(f"{len(ids):>5}  {reason} ({', '.join(ids[:_SHOWN_IDS])}{more})")
    return "\n".join(lines)


def _scores(
    planned: Iterable[PlannedLoad], pair: Callable[[PlannedLoad], Pair | None]
) -> list[Score]:
    return [Score(one.load, *found) for one in planned if (found := pair(one)) and found[1]]


def _kv(one: PlannedLoad) -> Pair | None:
    planned = sum(p.kv_bytes + p.recurrent_bytes for p in one.placement.places) / MIB
    printed = one.load.number("kv_total_mib")
    states = one.load.on_devices("rs_buffers_mib").values()
    return (
        (planned, printed + sum(states) + one.load.on_host("rs_buffers_mib")) if printed else None
    )


def _weights(one: PlannedLoad) -> Pair | None:
    """Of all devices of a full offload, or of the host where there is none."""
    load, is_encoder = one.load, Unplanned.ENCODER in one.card.unplanned
    if is_encoder or one.is_overridden:
        return None
    printed = sum(load.on_devices("model_buffers_mib").values())
    if one.placement.devices:
        if not load.is_whole and not one.knows_types:
            return None
        return sum(device.weights_bytes for device in one.devices) / MIB, printed
    if printed or load.has_second_copy:
        return None
    return one.host.weights_bytes / MIB, load.on_host("model_buffers_mib")


def _compute(one: PlannedLoad) -> Pair | None:
    """Of all devices, or of the processor, where flash attention and the batch are known."""
    load = one.load
    if load.record.get("flash_attn") is None or not load.count("n_ubatch") or one.card.unplanned:
        return None
    printed = load.on_devices("compute_buffers_mib")
    if not one.machine.hardware.gpus:
        is_alone = set(load.table("host_compute_mib")) == {"CPU"}
        return (
            (one.host.compute_bytes / MIB, load.on_host("host_compute_mib")) if is_alone else None
        )
    if set(printed) != {device.name for device in one.devices} or not _lies_as_planned(one):
        return None
    return sum(device.compute_bytes for device in one.devices) / MIB, sum(printed.values())


def _lies_as_planned(one: PlannedLoad) -> bool:
    caches = one.load.on_devices("kv_buffers_mib")
    if one.is_overridden and len(one.devices) > 1:
        return False  # whose experts are the host's, not how many, decides which GPU borrows them
    return len(one.devices) == 1 or all(
        math.isclose(device.kv_bytes / MIB, caches.get(device.name, 0), rel_tol=_AS_PLANNED)
        for device in one.devices
    )


def _totals(planned: Iterable[PlannedLoad]) -> dict[str, list[Score]]:
    """Ours and the formulas of other tools, on full offloads with all buffers printed."""
    scores: dict[str, list[Score]] = defaultdict(list)
    for one in planned:
        load, n_ctx = one.load, one.load.count("n_ctx")
        parts = [load.on_devices(f"{part}_buffers_mib") for part in ("model", "kv", "compute")]
        file_bytes = load.file_bytes or 0
        if not load.is_whole or load.ran_out or one.is_overridden or one.card.unplanned:
            continue
        if not one.devices or not all(parts) or not n_ctx or file_bytes < _SMALLEST_FILE_BYTES:
            continue
        printed = sum(mib for part in parts for mib in part.values())
        printed += sum(load.on_devices("rs_buffers_mib").values())
        scores["localr1"].append(Score(load, sum(map(_total_bytes, one.devices)) / MIB, printed))
        for name, n_bytes in formulas(one.card, n_ctx, file_bytes).items():
            scores[name].append(Score(load, n_bytes / MIB, printed))
    return scores


def _total_bytes(device: DevicePlan) -> int:
    return device.weights_bytes + device.kv_bytes + device.recurrent_bytes + device.compute_bytes


if __name__ == "__main__":
    main()
