"""Owns the verb `verify`: the check of a converted file, made again or made up for."""

from __future__ import annotations

from pathlib import Path

import click

from localr1.cli.checkpoint_source import checkpoint_source
from localr1.cli.convert_report import exit_code
from localr1.cli.interrupts import terminable
from localr1.cli.options import is_offline, with_output
from localr1.cli.output import Output
from localr1.cli.progress import ProgressTeller
from localr1.paths import typed_path


@click.command("verify")
@with_output
@click.argument("gguf", metavar="GGUF")
@click.option(
    "--source", metavar="SRC", required=True,
    help="What it was converted from: a checkpoint's directory, a repository, or a GGUF.",
)  # fmt: skip
@click.option(
    "--threads", "n_threads", metavar="N", type=click.IntRange(1, 1024), help="[default: all cores]"
)
@terminable()
def command(output: Output, gguf: str, source: str, *, n_threads: int | None) -> int:
    """Compare a converted GGUF with its source: tensors, and what both predict.

    `convert` does this by itself; here it is for files whose check was cut short, was left out, or
    is wanted again. Of several parts give the first. The exit code is 6 if it fails.
    """
    from localr1.verify.existing import verify_existing
    from localr1.verify.source_copy import remove_abandoned_copies

    path: Path = typed_path(gguf)
    remove_abandoned_copies(path.parent)
    teller = ProgressTeller(output)
    with checkpoint_source(
        source, output, teller, is_offline=is_offline(), delete_shards=False
    ) as found:
        seen = verify_existing(path, found.path, found.store, teller.show, n_threads=n_threads)
    if output.as_json:
        output.json(
            {
                "type": "result",
                "t": round(output.elapsed_s, 3),
                "output": str(path.absolute()),
                "fidelity": seen.fidelity.as_json(),
                "not_recorded": seen.not_recorded,
            }
        )
    else:
        output.data(seen.fidelity.line())
        if seen.not_recorded:
            output.narrate(f"the numbers are not in its metadata: {seen.not_recorded}")
    return exit_code(seen.fidelity)
