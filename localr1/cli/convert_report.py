"""Owns what `convert` tells while it works and when it is done, for people and as JSON."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from localr1.cli.output import Output
from localr1.errors import EXIT_DAMAGED, EXIT_OK
from localr1.units import format_bytes, format_count, format_duration

if TYPE_CHECKING:
    from localr1.verify.checks import ConversionChecks
    from localr1.verify.fidelity import Fidelity
    from quant.blueprint import Blueprint
    from quant.pipeline import ConvertProgress, ConvertResult

_EVENT_EVERY_S = 0.5


def exit_code(fidelity: Fidelity | None) -> int:
    """Not 0 if the result is not what was hoped for, though it was kept."""
    return EXIT_DAMAGED if fidelity is not None and fidelity.verdict == "fail" else EXIT_OK


def progress_reporter(output: Output, note: Callable[[], str]) -> Callable[[ConvertProgress], None]:
    """Draws or prints how far the weights have come; `note` has more to say about it."""
    started_s = time.monotonic()
    reported_s = started_s

    def report(progress: ConvertProgress) -> None:
        nonlocal reported_s
        now_s = time.monotonic()
        elapsed_s = max(now_s - started_s, 1e-3)
        bytes_per_s = (progress.bytes_done - progress.bytes_kept) / elapsed_s
        weights_per_s = progress.n_weights_done / elapsed_s
        output.progress(
            "converting",
            progress.bytes_done,
            progress.bytes_total,
            note=f"{bytes_per_s / 1e6:.0f} MB/s, {weights_per_s / 1e6:.0f} M weights/s{note()}",
        )
        if output.as_json and now_s - reported_s >= _EVENT_EVERY_S:
            reported_s = now_s
            output.json(
                {
                    "type": "progress",
                    "t": round(now_s - started_s, 3),
                    "bytes_done": progress.bytes_done,
                    "bytes_total": progress.bytes_total,
                    "bytes_per_s": round(bytes_per_s),
                    "n_weights_done": progress.n_weights_done,
                    "weights_per_s": round(weights_per_s),
                    "tensor": progress.tensor,
                }
            )

    return report


def check_reporter(output: Output) -> Callable[[str, float], None]:
    """Draws or prints how far the checks have come: a stage and its share."""
    started_s = time.monotonic()
    reported_s = started_s

    def report(stage: str, share: float) -> None:
        nonlocal reported_s
        output.progress(f"verifying: {stage}", share, 1.0)
        now_s = time.monotonic()
        if output.as_json and now_s - reported_s >= _EVENT_EVERY_S:
            reported_s = now_s
            t = round(now_s - started_s, 3)
            output.json({"type": "progress", "t": t, "stage": stage, "share": round(share, 3)})

    return report


def report_result(
    output: Output, result: ConvertResult, checks: ConversionChecks, fidelity: Fidelity | None
) -> None:
    """What was made, how it was checked, and last the path."""
    if output.as_json:
        document = dataclasses.asdict(result) | {
            "output": str(result.output),
            "tokenizer": dataclasses.asdict(checks.tokenizer) if checks.tokenizer else None,
            "fidelity": fidelity.as_json() if fidelity else None,
        }
        output.json({"type": "result", "t": round(result.seconds, 3), **document})
        return
    types = ", ".join(f"{count} {name}" for name, count in sorted(result.tensor_types.items()))
    output.narrate(
        f"{result.architecture}, {format_count(result.n_params)} weights, "
        f"{format_bytes(result.bytes_read)} to {format_bytes(result.bytes_written)} "
        f"{result.file_type} in {format_duration(result.seconds)}"
    )
    for notice in result.notices:
        output.narrate(notice)
    if result.bytes_kept:
        output.narrate(f"{format_bytes(result.bytes_kept)} of it were kept from an earlier run")
    output.detail(f"{result.n_tensors} tensors: {types}")
    if result.n_led:
        output.detail(f"{result.n_led} of them led by the importance matrix")
    if result.n_files > 1:
        output.narrate(f"{result.n_files} files; open the first one")
    if checks.tokenizer is not None:
        output.detail(checks.tokenizer.line())
    if fidelity is not None:
        output.narrate(fidelity.line())
    output.data(str(result.output))


def report_plan(output: Output, plan: Blueprint) -> None:
    """What would be written."""
    entries = plan.entries()
    if output.as_json:
        output.json(
            {
                "type": "plan",
                "architecture": plan.architecture,
                "file_type": plan.file_type.name,
                "n_params": plan.n_params,
                "bytes": plan.n_bytes,
                "notices": list(plan.notices),
                "files": [{"path": str(file.path), "bytes": file.n_bytes} for file in plan.files],
                "tensors": [
                    {
                        "name": entry.name,
                        "shape": list(entry.shape),
                        "type": entry.tensor_type.name,
                        "bytes": entry.n_bytes,
                    }
                    for entry in entries
                ],
            }
        )
        return
    for entry in entries:
        shape = " x ".join(map(str, entry.shape))
        output.data(f"{entry.tensor_type.name:5} {entry.n_bytes:>15,}  {entry.name}  {shape}")
    for file in plan.files:
        output.narrate(f"{file.path}: {file.n_bytes:,} bytes")
    for notice in plan.notices:
        output.narrate(notice)
    output.narrate(
        f"{plan.architecture}, {format_count(plan.n_params)} weights, "
        f"{plan.n_bytes:,} bytes {plan.file_type.name}; nothing was written"
    )
