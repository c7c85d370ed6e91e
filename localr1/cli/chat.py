"""`localr1 chat`: a conversation, in the terminal interface or line by line."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from importlib.metadata import entry_points

import click

from localr1.chat.conversation import Conversation
from localr1.cli.model_options import with_model_options
from localr1.cli.options import with_output
from localr1.cli.output import Output
from localr1.errors import UsageError
from localr1.model_options import ModelOptions


@click.command("chat")
@click.argument("model")
@click.option("--plain", is_flag=True, help="Line by line, without repainting the screen.")
@with_model_options
@with_output
def command(output: Output, model: str, model_options: ModelOptions, *, plain: bool) -> int:
    """Talk to MODEL. Thinking and answer have a pane each; F1 shows the keys."""
    return converse(output, model, model_options, is_plain=plain)


def converse(output: Output, model: str, options: ModelOptions, *, is_plain: bool) -> int:
    """Open the conversation in the skin that fits the terminal; the exit code."""
    from localr1.launch import conversation_with

    wants_plain = is_plain or output.as_json or os.environ.get("ACCESSIBLE", "0") not in {"", "0"}
    if not wants_plain and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError(
            "the terminal interface needs a terminal", hint="use --plain, or localr1 ask"
        )
    with closing(conversation_with(model, options, on_progress=output.progress)) as conversation:
        output.clear_progress()
        if wants_plain:
            from localr1.cli.plain import run_plain

            return run_plain(output, conversation)
        return _run_interface(conversation)


def _run_interface(conversation: Conversation) -> int:
    # found by entry point: nothing in localr1 imports the interface that sits on it
    for entry_point in entry_points(group="localr1.frontend", name="tui"):
        return int(entry_point.load()(conversation))
    raise UsageError("the terminal interface is not installed", hint="use --plain")
