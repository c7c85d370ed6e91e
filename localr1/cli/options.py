"""Owns the options every verb takes: `--json`, `-q`, `-v`, `--offline`; makes its `Output`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from localr1.cli.output import Output


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
        help="Use no network. No verb of this version does.",
    )
    @functools.wraps(verb)
    def run(*args: Any, as_json: bool, quiet: bool, verbose: bool, **kwargs: Any) -> Any:
        return verb(
            Output(as_json=as_json, quiet=quiet, verbose=verbose and not quiet), *args, **kwargs
        )

    return run
