"""`localr1 demo`: the whole path on the embedded model, from checkpoint to answer."""

from __future__ import annotations

import sys

import click

from localr1.cli.ask import ask_once
from localr1.cli.chat import converse
from localr1.cli.linear import ThinkingMode
from localr1.cli.model_options import with_model_options
from localr1.cli.options import with_output
from localr1.cli.output import Output
from localr1.model_options import ModelOptions
from localr1.models import DEMO

_QUESTION = "What is 12 + 8 * 3?"


@click.command("demo")
@click.option("--once", metavar="TEXT", help="Ask this one question and leave.")
@click.option("--plain", is_flag=True, help="Chat line by line.")
@with_model_options
@with_output
def command(output: Output, once: str | None, model_options: ModelOptions, *, plain: bool) -> int:
    """Convert the embedded model r1-nano to 4 bits, show its memory plan, and talk to it.

    Without a terminal it asks one question and leaves. r1-nano has 5 million parameters and knows
    arithmetic, sorting and reversing of words, in English and Chinese; it is no assistant.
    """
    _prepare(output, model_options)
    has_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    if once is None and (has_terminal or plain):
        return converse(output, DEMO, model_options, is_plain=plain)
    question = _QUESTION if once is None else once
    output.narrate(f"> {question}", style="bold")
    return ask_once(output, DEMO, question, ThinkingMode.SHOW, model_options)


def _prepare(output: Output, options: ModelOptions) -> None:
    """Convert, and print the plan, so that a person sees what happens before the screen changes."""
    from localr1.launch import plan_for
    from localr1.models import resolve
    from localr1.plan import explain

    path = resolve(DEMO, on_progress=lambda done, total: output.progress("converting", done, total))
    output.clear_progress()
    output.narrate(f"r1-nano as 4-bit GGUF: {path}")
    for line in explain.lines(plan_for(path, options)):
        output.narrate(line)
