"""`localr1 chat`: a conversation, in the terminal interface or line by line."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from importlib.metadata import entry_points

import click

from localr1.chat.conversation import Conversation
from localr1.cli.document_options import DocumentOptions, with_document_options
from localr1.cli.model_options import with_model_options
from localr1.cli.options import with_output
from localr1.cli.output import Output
from localr1.errors import UsageError
from localr1.model_options import ModelOptions


@click.command("chat")
@click.argument("model")
@click.option("--plain", is_flag=True, help="Line by line, without repainting the screen.")
@with_document_options
@with_model_options
@with_output
def command(
    output: Output,
    model: str,
    documents: DocumentOptions,
    model_options: ModelOptions,
    *,
    plain: bool,
) -> int:
    """Talk to MODEL. Thinking and answer have a pane each; F1 shows the keys.

    What a --document costs is told before the model is loaded; it goes before the first question.
    """
    from localr1.launch import conversation_with

    is_plain = wants_plain(output, plain=plain)
    brought = documents.read(stdin_is="where the questions come from")
    with closing(
        conversation_with(model, model_options, on_progress=output.conversion, documents=brought)
    ) as conversation:
        output.clear_progress()
        return converse(output, conversation, is_plain=is_plain)


def wants_plain(output: Output, *, plain: bool) -> bool:
    """Whether the chat goes line by line: asked for, or by `ACCESSIBLE=1`, or for JSON.

    Raises: UsageError where the interface is wanted and there is no terminal.
    """
    if plain or output.as_json or os.environ.get("ACCESSIBLE", "0") not in {"", "0"}:
        return True
    if not has_terminal():
        raise UsageError(
            "the terminal interface needs a terminal", hint="use --plain, or localr1 ask"
        )
    return False


def has_terminal() -> bool:
    """Whether a person sits at both ends."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))


def converse(output: Output, conversation: Conversation, *, is_plain: bool) -> int:
    """Talk until the user leaves; the exit code."""
    if is_plain:
        from localr1.cli.plain import run_plain

        return run_plain(output, conversation)
    # found by entry point: nothing in localr1 imports the interface that sits on it
    for entry_point in entry_points(group="localr1.frontend", name="tui"):
        return int(entry_point.load()(conversation))
    raise UsageError("the terminal interface is not installed", hint="use --plain")
