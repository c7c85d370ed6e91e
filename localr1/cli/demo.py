"""`localr1 demo`: the whole path on the embedded model, from checkpoint to answer."""

from __future__ import annotations

from contextlib import closing

import click

from localr1.cli.ask import ask_once, checked_question
from localr1.cli.chat import converse, has_terminal, wants_plain
from localr1.cli.linear import LinearSkin
from localr1.cli.model_options import with_model_options
from localr1.cli.options import with_output
from localr1.cli.output import Output
from localr1.cli.reply import run_reply
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
    from localr1.launch import conversation_with
    from localr1.plan.explain import lines
    from localr1.plan.memory_plan import MemoryPlan

    shown: list[MemoryPlan] = []

    def show_plan(plan: MemoryPlan) -> None:
        if shown:  # an engine that starts again must not write over the interface
            return
        shown.append(plan)
        for line in lines(plan):
            output.narrate(line)

    if once is not None:
        checked_question(once)
    question = once if once is not None or plain or has_terminal() else _QUESTION
    skin = LinearSkin(output, shows_memory=True)
    with closing(
        conversation_with(DEMO, model_options, on_progress=output.conversion, on_plan=show_plan)
    ) as conversation:
        if question is not None:
            output.narrate(f"> {question}", style="bold")
            return ask_once(conversation, skin, question)
        # loaded before the screen changes, so that plan and measurement can be read first
        exit_code = run_reply(conversation, skin, conversation.open())
        return exit_code or converse(
            output, conversation, is_plain=wants_plain(output, plain=plain)
        )
