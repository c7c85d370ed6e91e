"""Owns the verb `convert`: a checkpoint directory becomes one GGUF file.

Default output: the checkpoint's name and the type, in the current directory. A conversion that was
cut short goes on when it is asked for again; being told to terminate counts as Ctrl-C.
"""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from localr1.cli.options import with_output
from localr1.cli.output import Output
from localr1.errors import UsageError
from localr1.settings import cache_dir
from localr1.units import format_bytes, format_count, format_duration

if TYPE_CHECKING:
    from quant.blueprint import Blueprint
    from quant.pipeline import ConvertProgress, ConvertResult

_EVENT_EVERY_S = 0.5


@click.command()
@with_output
@click.argument("source", metavar="SRC", type=click.Path(path_type=Path))
@click.option(
    "-q", "--quant", "file_type", metavar="TYPE", default="Q4_K_M", show_default=True,
    help="F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q4_K_S, Q4_K_M, Q5_K_S, Q5_K_M, Q6_K, IQ4_NL, "
    "IQ4_XS or MXFP4_MOE.",
)  # fmt: skip
@click.option(
    "-o", "--output", "target", metavar="OUT", type=click.Path(path_type=Path),
    help="File or directory to write to.  [default: ./NAME-TYPE.gguf]",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Overwrite the output if it exists.")
@click.option(
    "--split", "split_size", metavar="SIZE",
    help="Start a new file where the tensors of one would be more than SIZE, such as 4G or 500M.",
)  # fmt: skip
@click.option(
    "--dry-run", is_flag=True,
    help="Write nothing; say what would be written. config.json and the tokenizer will do.",
)  # fmt: skip
@click.option("--fresh", is_flag=True, help="Do not go on where an earlier run was cut short.")
@click.option(
    "--threads", "n_threads", metavar="N", type=click.IntRange(1, 1024), help="[default: all cores]"
)
def command(  # noqa: PLR0913 - one for each option
    output: Output,
    source: Path,
    file_type: str,
    target: Path | None,
    *,
    split_size: str | None,
    dry_run: bool,
    force: bool,
    fresh: bool,
    n_threads: int | None,
) -> None:
    """Convert a checkpoint directory SRC (safetensors or PyTorch .bin) into a GGUF file."""
    from quant import blueprint
    from quant.output.split import parse_size
    from quant.pipeline import convert
    from quant.recipe import file_type_named
    from quant.source.checkpoint import checkpoint_directory

    split_bytes = parse_size(split_size) if split_size else None
    if dry_run and source.name == "config.json":
        source = source.parent
    default_name = f"{checkpoint_directory(source).name}-{file_type_named(file_type).name}.gguf"
    path = _output_path(target, default_name)
    if dry_run:
        plan = blueprint.dry_run(source, path, file_type=file_type, split_bytes=split_bytes)
        _report_plan(output, plan)
        return
    with _interruptible(output, path):
        result = convert(
            source,
            path,
            file_type=file_type,
            on_progress=_reporter(output),
            overwrite=force,
            fresh=fresh,
            split_bytes=split_bytes,
            n_threads=n_threads,
            kernels_dir=_kernels_dir(),
        )
    _report(output, result)


@contextlib.contextmanager
def _interruptible(output: Output, path: Path) -> Iterator[None]:
    """SIGTERM ends the work as tidily as Ctrl-C does; both say whether something was kept."""
    from quant.output.files import journal_path

    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        if journal_path(path).exists():
            output.narrate("what is done was kept; the same command goes on from there")
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def _kernels_dir() -> Path | None:
    with contextlib.suppress(UsageError):  # no home to write to: nothing is kept
        return cache_dir()
    return None


def _output_path(target: Path | None, default_name: str) -> Path:
    if target is None:
        return Path(default_name)
    return target / default_name if target.is_dir() else target


def _reporter(output: Output) -> Callable[[ConvertProgress], None]:
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
            note=f"{bytes_per_s / 1e6:.0f} MB/s, {weights_per_s / 1e6:.0f} M weights/s",
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


def _report(output: Output, result: ConvertResult) -> None:
    if output.as_json:
        document = dataclasses.asdict(result) | {"output": str(result.output)}
        output.json({"type": "result", "t": round(result.seconds, 3), **document})
        return
    types = ", ".join(f"{count} {name}" for name, count in sorted(result.tensor_types.items()))
    output.narrate(
        f"{result.architecture}, {format_count(result.n_params)} weights, "
        f"{format_bytes(result.bytes_read)} to {format_bytes(result.bytes_written)} "
        f"{result.file_type} in {format_duration(result.seconds)}"
    )
    if result.bytes_kept:
        output.narrate(f"{format_bytes(result.bytes_kept)} of it were kept from an earlier run")
    output.detail(f"{result.n_tensors} tensors: {types}")
    if result.n_files > 1:
        output.narrate(f"{result.n_files} files; open the first one")
    output.data(str(result.output))


def _report_plan(output: Output, plan: Blueprint) -> None:
    entries = plan.entries()
    if output.as_json:
        output.json(
            {
                "type": "plan",
                "architecture": plan.architecture,
                "file_type": plan.file_type.name,
                "n_params": plan.n_params,
                "bytes": plan.n_bytes,
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
    output.narrate(
        f"{plan.architecture}, {format_count(plan.n_params)} weights, "
        f"{plan.n_bytes:,} bytes {plan.file_type.name}; nothing was written"
    )
