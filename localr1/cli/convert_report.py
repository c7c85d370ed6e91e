"""Owns what `convert` tells while it works and when it is done, for people and as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

from localr1.cli.output import Output
from localr1.cli.progress import ProgressTeller
from localr1.errors import EXIT_DAMAGED, EXIT_OK
from localr1.events import Progress
from localr1.units import format_bytes, format_count, format_duration

if TYPE_CHECKING:
    from localr1.verify.checks import ConversionChecks
    from localr1.verify.fidelity import Fidelity
    from quant.blueprint import Blueprint
    from quant.pipeline import ConvertProgress, ConvertResult


def exit_code(fidelity: Fidelity | None) -> int:
    """Not 0 if the result is not what was hoped for, though it was kept."""
    return EXIT_DAMAGED if fidelity is not None and fidelity.verdict == "fail" else EXIT_OK


def conversion_told(
    teller: ProgressTeller, note: Callable[[], str]
) -> Callable[[ConvertProgress], None]:
    """Tells how far the weights have come; `note` has more to say about it."""

    def tell(progress: ConvertProgress) -> None:
        event = Progress(
            stage="convert",
            done=progress.bytes_done,
            total=progress.bytes_total,
            unit="bytes",
            n_weights_done=progress.n_weights_done,
            tensor=progress.tensor,
        )
        teller.show(event, note=note())

    return tell


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
        output.json({"type": "result", "t": round(output.elapsed_s, 3), **document})
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
