"""`localr1 plan`: what a model needs in memory, buffer by buffer, before anything is loaded."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TextIO

import click

from localr1.cli.document_options import DocumentOptions, with_document_options
from localr1.cli.machine_options import with_machine_options
from localr1.cli.model_options import with_load_options
from localr1.cli.options import with_output
from localr1.cli.output import Output
from localr1.cli.plan_subject import Subject, read_subject
from localr1.cli.this_machine import find_this_machine
from localr1.errors import EXIT_DOES_NOT_FIT, UsageError
from localr1.hardware.machine import PlannedMachine, Wish, build_machine
from localr1.model_options import ModelOptions

if TYPE_CHECKING:
    from localr1.attach import Attachment
    from localr1.model_facts.card import ModelCard
    from localr1.plan.document_cost import DocumentCost
    from localr1.plan.memory_plan import MemoryPlan

_BEST = "best"


@click.command("plan")
@click.argument("model", required=False)
@click.option(
    "--metadata",
    type=click.File(encoding="utf-8"),
    help="Instead of MODEL: JSON with the key-values a log or a model page prints; - is stdin.",
)
@click.option(
    "--quant",
    "file_type",
    metavar="TYPE",
    help="The type that a checkpoint would be converted to.  [default: Q4_K_M]  With `best`, and of"
    " any model: the most exact that fits where it is fast.",
)
@click.option(
    "--calibrate",
    "calibrates",
    is_flag=True,
    help="First measure how fast this machine decodes such weights; kept for later plans.",
)
@with_document_options
@with_load_options
@with_machine_options
@with_output
def command(
    output: Output,
    model: str | None,
    *,
    metadata: TextIO | None,
    file_type: str | None,
    calibrates: bool,
    documents: DocumentOptions,
    model_options: ModelOptions,
    wish: Wish,
) -> int:
    """Show what MODEL needs in memory on this machine; the exit code is 4 if it does not fit.

    MODEL is a GGUF file, also one that was cut off or is still being downloaded; a checkpoint's
    directory, config.json or repository (user/repo), planned as if it were converted; a repository
    of GGUFs (user/repo:Q4_K_M), of which only the header is read; a name such as deepseek-r1:70b or
    qwen3:8b-Q6_K (`localr1 fit` lists them), planned without a network; or `demo`.
    With --metadata no file is needed: {"gguf_kv": {...}, "tensor_types": {...}, "file_bytes": N,
    "request": {...}, "devices": [...]}, where the last four may be missing.
    With --on, --ram or --vram the plan is for a machine that is not here.
    With --document it is for the context that the documents need, and says what they cost.
    """
    from localr1.attach import attach
    from localr1.plan.memory_plan import Verdict

    picks_type = file_type == _BEST
    reads_metadata = metadata is not None and metadata.name == "<stdin>"
    brought = documents.read(stdin_is="the metadata" if reads_metadata else "")
    asked = read_subject(output, model, metadata, model_options, None if picks_type else file_type)
    attached = None if brought is None else attach(brought, asked.card, asked.tokenizer)
    wish = replace(wish, names=(*wish.names, *asked.devices))
    machine = _machine(output, asked.card, model_options, wish, calibrates=calibrates)
    if picks_type:
        asked = asked.best_quantised(machine, least_ctx=attached.need.n_ctx if attached else None)
    plan, cost = _planned(asked, machine, attached)
    _show(output, asked, plan, attached, cost)
    fits = plan.verdict is not Verdict.DOES_NOT_FIT and (cost is None or cost.obstacle is None)
    return 0 if fits else EXIT_DOES_NOT_FIT


def _machine(
    output: Output, card: ModelCard, options: ModelOptions, wish: Wish, *, calibrates: bool
) -> PlannedMachine:
    """The machine that was described, else this one."""
    if wish.is_empty:
        return find_this_machine(
            output, card, rpc_servers=options.rpc_servers, calibrates=calibrates
        )
    if calibrates:
        raise UsageError("--calibrate measures this machine; leave out what describes another")
    return build_machine(wish)


def _planned(
    asked: Subject, machine: PlannedMachine, attached: Attachment | None
) -> tuple[MemoryPlan, DocumentCost | None]:
    """The plan with all there is to tell, and what documents cost in it."""
    from localr1.attach import plan_attached
    from localr1.catalogue.siblings import smaller_siblings
    from localr1.plan.smaller_model import with_smaller_model

    cost: DocumentCost | None = None
    notices = [*machine.notices, *asked.notices]
    if attached is None:
        of_other = partial(machine.plan, request=asked.request, with_fixes=False)
        plan = machine.plan(asked.card, asked.request)
        plan = with_smaller_model(plan, of_other, smaller_siblings(asked.card))
    else:
        plan, cost = plan_attached(attached, asked.card, asked.request, machine.plan)
        notices += attached.notices
    return replace(plan, notices=(*notices, *plan.notices)), cost


def _show(
    output: Output,
    asked: Subject,
    plan: MemoryPlan,
    attached: Attachment | None,
    cost: DocumentCost | None,
) -> None:
    from localr1.plan import explain

    if output.as_json:
        about = {"document": attached.to_json(cost)} if attached and cost else {}
        output.json(asked.shown(plan.to_json()) | about, indent=2)
        return
    about_lines = [*attached.lines(plan, cost), ""] if attached and cost else []
    for line in (*about_lines, *explain.lines(plan)):
        output.data(line)
