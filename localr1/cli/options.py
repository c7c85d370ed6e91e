"""Owns the options every verb takes: `--json`, `-q`, `-v`, `--offline`; makes its `Output`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from localr1.cli.output import Output

_OFFLINE = "localr1.offline"


def is_offline() -> bool:
    """Whether the running verb was given `--offline`."""
    return bool(click.get_current_context().meta.get(_OFFLINE, False))


def with_output(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: adds the common options and passes `output` as first argument.

    Stands above the verb's own options; a verb that uses `-q` itself keeps `--quiet` only.
    """
    own_options = getattr(verb, "__click_params__", [])
    quiet_names = ["-q"] if not any("-q" in option.opts for option in own_options) else []

    @click.option("--json", "as_json", is_flag=True, help="One JSON document, or one event a line.")
    @click.option(*quiet_names, "--quiet", is_flag=True, help="No narration on stderr.")
    @click.option("-v", "--verbose", is_flag=True, help="More narration on stderr.")
    @click.option(
        "--offline",
        is_flag=True,
        expose_value=False,
        callback=_remember_offline,
        help="Use no network: refuse what needs it.",
    )
    @functools.wraps(verb)
    def run(*args: Any, as_json: bool, quiet: bool, verbose: bool, **kwargs: Any) -> Any:
        return verb(
            Output(as_json=as_json, quiet=quiet, verbose=verbose and not quiet), *args, **kwargs
        )

    return run


def _remember_offline(context: click.Context, _option: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's signature
    context.meta[_OFFLINE] = value
