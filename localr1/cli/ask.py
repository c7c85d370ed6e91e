"""`localr1 ask`: one question, one answer, made for pipes."""

from __future__ import annotations

import sys
from contextlib import closing

import click

from localr1.chat.conversation import Conversation
from localr1.cli.document_options import DocumentOptions, with_document_options
from localr1.cli.linear import LinearSkin, ThinkingMode
from localr1.cli.model_options import with_model_options
from localr1.cli.options import with_output
from localr1.cli.output import Output
from localr1.cli.reply import run_reply
from localr1.errors import UsageError
from localr1.model_options import ModelOptions


@click.command("ask")
@click.argument("model")
@click.argument("prompt", nargs=-1)
@click.option(
    "--thinking",
    type=click.Choice([mode.value for mode in ThinkingMode]),
    default=ThinkingMode.SHOW.value,
    show_default=True,
    help="Where the thought goes: stderr, nowhere, or alone on stdout.",
)
@with_document_options
@with_model_options
@with_output
def command(
    output: Output,
    model: str,
    prompt: tuple[str, ...],
    *,
    thinking: str,
    documents: DocumentOptions,
    model_options: ModelOptions,
) -> int:
    """Ask MODEL once: the answer on stdout, the thinking on stderr.

    PROMPT is joined with blanks. `-` stands for what comes in through stdin; without a PROMPT, a
    pipe is read. What a --document costs is told before the model is loaded; if it does not fit,
    the exit code is 4.
    """
    from localr1.launch import conversation_with

    reads_question = not prompt or "-" in prompt
    brought = documents.read(stdin_is="the question" if reads_question else "")
    text = read_prompt(prompt)
    skin = LinearSkin(output, ThinkingMode(thinking))
    with closing(
        conversation_with(
            model, model_options, on_progress=output.conversion, documents=brought, question=text
        )
    ) as conversation:
        return ask_once(conversation, skin, text)


def ask_once(conversation: Conversation, skin: LinearSkin, text: str) -> int:
    """Load the model, ask, show; the exit code."""
    exit_code = run_reply(conversation, skin, conversation.open())
    return exit_code or run_reply(conversation, skin, conversation.ask(text))


def read_prompt(words: tuple[str, ...]) -> str:
    """The question: words from the command line, with stdin in the place of `-`.

    Raises: UsageError if there is neither, or if stdin is not text.
    """
    if words:
        parts = [_read_stdin() if word == "-" else word for word in words]
    elif sys.stdin is not None and not sys.stdin.isatty():
        parts = [_read_stdin()]
    else:
        raise UsageError("no question", hint='for example: localr1 ask demo "What is 7 × 6?"')
    return checked_question(" ".join(parts))


def checked_question(text: str) -> str:
    """The question, if it is one. Raises: UsageError."""
    if not text.strip():
        raise UsageError("the question is empty")
    if not text.isprintable() and any("\ud800" <= char <= "\udfff" for char in text):
        raise UsageError("the question is not UTF-8 text")  # bytes that the shell passed on
    return text


def _read_stdin() -> str:
    # the text layer lets broken bytes through in some locales
    try:
        return sys.stdin.buffer.read().decode("utf-8") if sys.stdin is not None else ""
    except UnicodeDecodeError as exc:
        raise UsageError(f"stdin is not UTF-8 text: {exc}") from exc
