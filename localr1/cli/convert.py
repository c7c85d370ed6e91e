"""Owns the verb `convert`: a checkpoint, or another GGUF, becomes a GGUF.

Default output: the checkpoint's name and the type, in the current directory. A conversion that was
cut short goes on when it is asked for again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from localr1.cli.checkpoint_source import checkpoint_source
from localr1.cli.convert_report import conversion_told, exit_code, report_plan, report_result
from localr1.cli.interrupts import terminable
from localr1.cli.options import is_offline, with_output
from localr1.cli.output import Output
from localr1.cli.progress import ProgressTeller
from localr1.errors import CancelledError, UsageError
from localr1.paths import output_path
from localr1.settings import cache_dir

if TYPE_CHECKING:
    from localr1.verify.checks import ConversionChecks
    from localr1.verify.fidelity import Fidelity


@click.command()
@with_output
@click.argument("source", metavar="SRC")
@click.option(
    "-q", "--quant", "file_type", metavar="TYPE", default="Q4_K_M", show_default=True,
    help="F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q4_K_S, Q4_K_M, Q5_K_S, Q5_K_M, Q6_K, IQ4_NL, "
    "IQ4_XS or MXFP4_MOE.",
)  # fmt: skip
@click.option(
    "--tensor-type", "tensor_types", metavar="REGEX=TYPE", multiple=True,
    help="Another type for tensors whose names have REGEX in them. May be given several times.",
)  # fmt: skip
@click.option(
    "--imatrix", "imatrix_path", metavar="FILE", type=click.Path(path_type=Path),
    help="Importance matrix that leads the quantisation; `localr1 imatrix` makes one.",
)  # fmt: skip
@click.option(
    "-o", "--output", "target", metavar="OUT",
    help="File or directory to write to.  [default: ./NAME-TYPE.gguf]",
)  # fmt: skip
@click.option(
    "--force", is_flag=True,
    help="Overwrite the output if it exists, and convert even if the tokenizer check fails.",
)  # fmt: skip
@click.option(
    "--verify/--no-verify", "verifies", default=True, show_default=True,
    help="Compare the result with the source: tensors, and predictions where both fit in memory.",
)  # fmt: skip
@click.option(
    "--split", "split_size", metavar="SIZE",
    help="Start a new file where the tensors of one would be more than SIZE, such as 4G or 500M.",
)  # fmt: skip
@click.option(
    "--dry-run", is_flag=True,
    help="Write nothing; say what would be written. config.json and the tokenizer will do.",
)  # fmt: skip
@click.option(
    "--delete-shards", is_flag=True,
    help="Of a repository: delete each file of weights when it is converted.",
)  # fmt: skip
@click.option("--fresh", is_flag=True, help="Do not go on where an earlier run was cut short.")
@click.option(
    "--threads", "n_threads", metavar="N", type=click.IntRange(1, 1024), help="[default: all cores]"
)
@terminable()
def command(  # noqa: PLR0913 - one for each option
    output: Output,
    source: str,
    file_type: str,
    target: str | None,
    *,
    tensor_types: tuple[str, ...],
    imatrix_path: Path | None,
    delete_shards: bool,
    split_size: str | None,
    dry_run: bool,
    force: bool,
    verifies: bool,
    fresh: bool,
    n_threads: int | None,
) -> int:
    """Convert a checkpoint SRC into a GGUF file.

    SRC is a directory (safetensors or PyTorch .bin), a repository: user/repo[@revision], or another
    GGUF in F32, F16, BF16 or Q8_0.
    """
    from localr1.verify.checks import ConversionChecks
    from localr1.verify.source_copy import remove_abandoned_copies
    from quant import blueprint
    from quant.importance.reader import read_importance
    from quant.output.split import parse_size
    from quant.output.target import require_apart
    from quant.pipeline import convert
    from quant.recipe import file_type_named
    from quant.recipe.overrides import parse_override

    overrides = [parse_override(text) for text in tensor_types]
    importance = read_importance(imatrix_path) if imatrix_path else None
    split_bytes = parse_size(split_size) if split_size else None
    verifies = verifies and not delete_shards  # what is deleted cannot be compared with
    teller = ProgressTeller(output)
    with checkpoint_source(
        source, output, teller, is_offline=is_offline(), delete_shards=delete_shards
    ) as found:
        if dry_run and found.path.name == "config.json":
            found.path = found.path.parent
        name = blueprint.source_name(found.path)
        path = output_path(target, f"{name}-{file_type_named(file_type).name}.gguf")
        if imatrix_path:
            require_apart(path, [imatrix_path])
        checks = ConversionChecks(
            verifies=verifies,
            accepts_differences=force,
            notify=output.narrate,
            n_threads=n_threads,
        )
        if dry_run:
            plan = blueprint.dry_run(
                found.path,
                path,
                file_type=file_type,
                split_bytes=split_bytes,
                overrides=overrides,
                importance=importance,
                store=found.store,
                notes=checks.notes,
            )
            report_plan(output, plan)
            return 0
        remove_abandoned_copies(path.parent)
        with _resumable(path):
            result = convert(
                found.path,
                path,
                file_type=file_type,
                on_progress=conversion_told(teller, found.note),
                overwrite=force,
                fresh=fresh,
                split_bytes=split_bytes,
                overrides=overrides,
                importance=importance,
                n_threads=n_threads,
                kernels_dir=_kernels_dir(),
                store=found.store,
                notes=checks.notes,
                before_writing=checks.before_writing,
            )
        fidelity = _compared(checks, teller, result.output, source) if verifies else None
    report_result(output, result, checks, fidelity)
    return exit_code(fidelity)


@contextlib.contextmanager
def _resumable(path: Path) -> Iterator[None]:
    """Who interrupts the block is told whether something was kept."""
    from quant.output.files import journal_path

    try:
        yield
    except KeyboardInterrupt as exc:
        kept = "what is done was kept; the same command goes on from there"
        raise CancelledError(hint=kept if journal_path(path).exists() else "") from exc


def _compared(
    checks: ConversionChecks, teller: ProgressTeller, output: Path, source: str
) -> Fidelity:
    try:
        return checks.after_writing(teller.show)
    except KeyboardInterrupt as exc:
        raise CancelledError(
            f"interrupted; {output} is complete, but was not compared with its source",
            hint=f"to do that: localr1 verify {output} --source {source}",
        ) from exc


def _kernels_dir() -> Path | None:
    with contextlib.suppress(UsageError):  # no home to write to: nothing is kept
        return cache_dir()
    return None
