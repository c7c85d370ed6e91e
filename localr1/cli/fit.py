"""`localr1 fit`: which models run on this machine, or on one that is not here."""

from __future__ import annotations

import click

from localr1.cli.machine_options import with_machine_options
from localr1.cli.model_options import with_load_options
from localr1.cli.options import with_output
from localr1.cli.output import Output
from localr1.cli.this_machine import find_this_machine
from localr1.errors import EXIT_DOES_NOT_FIT
from localr1.hardware.machine import Wish, build_machine
from localr1.model_options import ModelOptions


@click.command("fit")
@click.argument("files", nargs=-1, metavar="[FILE]...")
@with_load_options
@with_machine_options
@with_output
def command(
    output: Output, files: tuple[str, ...], *, model_options: ModelOptions, wish: Wish
) -> int:
    """Show which models run on this machine: DeepSeek-R1, its peers, and GGUF FILEs.

    Each is shown in its best type: of Q8_0, Q6_K, Q5_K_M, Q4_K_M and IQ4_XS the most exact that
    fits whole, with 4096 tokens of context, and writes at least 5 tokens/s, about as fast as people
    read; else the smallest, which is the fastest. gpt-oss comes as MXFP4_MOE only.

    What fits whole comes first, then what needs the processor's help, then what does not fit; in
    each group larger models before smaller ones, but those that are slower than 5 tokens/s last.
    With --on, --ram or --vram it is about a machine that is not here. --json also tells each
    model's repository, lineage and licence. The exit code is 4 if nothing fits.
    """
    from localr1.catalogue import fit_table
    from localr1.catalogue.entry import entries
    from localr1.catalogue.fit import of_card, of_catalogue, rank
    from localr1.model_facts.card import ModelCard
    from localr1.models import resolve
    from localr1.plan.memory_plan import Verdict
    from quant.gguf.parts import read_model_header

    headers = {name: read_model_header(resolve(name), allow_truncated=True) for name in files}
    here = [of_card(name, ModelCard.from_header(header)) for name, header in headers.items()]
    machine = (
        find_this_machine(output, rpc_servers=model_options.rpc_servers)
        if wish.is_empty
        else build_machine(wish)
    )
    candidates = [*here, *of_catalogue(entries().values())]
    ranking = rank(candidates, model_options.plan_request(), machine)
    notices = [*machine.notices, *ranking.refused]
    if output.as_json:
        models = [fit.to_json() for fit in ranking.fits]
        output.json({"models": models, "notices": notices}, indent=2)
    else:
        for line in (*fit_table.lines(ranking.fits), *(f"note: {notice}" for notice in notices)):
            output.data(line)
    fits_any = any(fit.plan.verdict is not Verdict.DOES_NOT_FIT for fit in ranking.fits)
    return 0 if fits_any else EXIT_DOES_NOT_FIT
