"""Owns the command line's frame: global options, lazily loaded verbs, and exit codes.

A verb's module is imported when the verb runs, so that `--help` imports neither numpy nor
textual. This is one of the three places that catch everything: no user ever sees a traceback.
"""

from __future__ import annotations

import importlib
import io
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

import click

from backends.errors import BackendError
from localr1 import __version__
from localr1.cli.output import NO_ROOM, Output
from localr1.errors import (
    CancelledError,
    LocalR1Error,
    NoRoomError,
    ReaderLeftError,
    UsageError,
)
from quant.errors import QuantError

_VERBS: dict[str, str] = {
    "ask": "One question, one answer: answer on stdout, thinking on stderr.",
    "chat": "Talk to a model, in the terminal interface or --plain.",
    "convert": "Turn a checkpoint into a GGUF file, 4-bit by default.",
    "demo": "The embedded model: convert it, plan its memory, talk to it.",
    "devices": "What this machine can compute on, and what is missing.",
    "fit": "Which models run on this machine, and how fast.",
    "imatrix": "What a text does to a model's weights, for convert --imatrix.",
    "plan": "What a model needs in memory, buffer by buffer.",
    "verify": "Is a converted GGUF what it was made from.",
}

_EPILOG = """\
\b
Exit codes:
  0 ok                    5 no network             9 disk full
  1 unexpected            6 file damaged/refused  10 thinking left no answer
  2 usage                 7 engine died          130 interrupted, or the
  3 not found             8 context overflow         reader of stdout left
  4 does not fit
"""


class _LazyGroup(click.Group):
    """A group that knows its verbs by name and imports them when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _VERBS:
            return None
        module = importlib.import_module(f"localr1.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # the default would import every verb for its first line of help
        with formatter.section("Verbs"):
            formatter.write_dl(sorted(_VERBS.items()))


@click.group(
    cls=_LazyGroup,
    invoke_without_command=True,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="localr1")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Run reasoning models on this machine. Nothing leaves it."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def run(argv: list[str]) -> int:
    """Run the command line and return its exit code; every failure is one line on stderr."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a letter is no failure
    output = Output(as_json="--json" in argv)
    try:
        result: Any = cli.main(args=argv, prog_name="localr1", standalone_mode=False)
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except ReaderLeftError as exc:
        return exc.exit_code  # as `| head` wants it: silent, like other tools
    except (Exception, KeyboardInterrupt) as exc:  # noqa: BLE001 - the outermost edge of the process
        return _tell(output, _explained(exc))
    return result if isinstance(result, int) else 0


def _tell(output: Output, error: LocalR1Error | QuantError | BackendError) -> int:
    try:
        output.error(error)
    except LocalR1Error:  # stdout is gone, which may be what the error is about
        Output().error(error)
    return error.exit_code


def _explained(exc: BaseException) -> LocalR1Error | QuantError | BackendError:
    if isinstance(exc, LocalR1Error | QuantError | BackendError):
        return exc
    if isinstance(exc, KeyboardInterrupt | click.exceptions.Abort):
        return CancelledError()
    if isinstance(exc, click.ClickException):
        context = exc.ctx if isinstance(exc, click.UsageError) else None
        verb = context.command_path if context is not None else "localr1"
        return UsageError(exc.format_message(), hint=f"see {verb} --help")
    if isinstance(exc, OSError) and exc.errno in NO_ROOM:  # click writes the help by itself
        return NoRoomError("there is no room left to write to")
    with tempfile.NamedTemporaryFile(
        "w", prefix="localr1-error-", suffix=".txt", delete=False
    ) as report:
        traceback.print_exception(exc, file=report)
    return LocalR1Error(
        f"unexpected {type(exc).__name__}: {exc}",
        hint=f"a bug; please report it with {Path(report.name)}",
    )
