"""Owns the options that describe a machine which is not here: `--on`, `--ram`, `--vram` ..."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from localr1.hardware.machine import Wish
from localr1.units import parse_memory


def _memory(_ctx: click.Context, _option: click.Parameter, text: str | None) -> int | None:
    try:
        return None if text is None else parse_memory(text)
    except ValueError as exc:
        raise click.BadParameter(str(exc)) from exc


_OPTIONS = (
    click.option(
        "--on",
        "names",
        multiple=True,
        metavar="NAME",
        help="A card, Mac or PC from `localr1 devices --profiles`; repeat it for several cards.",
    ),
    click.option(
        "--ram",
        "ram_bytes",
        metavar="SIZE",
        callback=_memory,
        help="A machine with that much memory.",
    ),
    click.option(
        "--vram",
        "vram_bytes",
        metavar="SIZE",
        callback=_memory,
        help="A card with that much memory.",
    ),
    click.option(
        "--bandwidth",
        "gigabytes_per_s",
        type=click.FloatRange(min=1, max=100_000),
        help="GB/s of --vram, else of --ram.",
    ),
    click.option(
        "--macos", type=click.IntRange(11, 99), help="Version of macOS: 26 lets the GPU use more."
    ),
    click.option(
        "--wired-limit",
        "wired_limit_mib",
        type=click.IntRange(min=0),
        default=0,
        help="iogpu.wired_limit_mb of a Mac, in MiB.",
    ),
)


def with_machine_options(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: adds the options and passes them on as one `wish`."""

    @functools.wraps(verb)
    def run(
        *args: Any, names: tuple[str, ...], gigabytes_per_s: float | None, **kwargs: Any
    ) -> Any:
        given = ("ram_bytes", "vram_bytes", "macos", "wired_limit_mib")
        wish = Wish(
            names=names,
            bytes_per_s=None if gigabytes_per_s is None else gigabytes_per_s * 1e9,
            **{name: kwargs.pop(name) for name in given},
        )
        return verb(*args, wish=wish, **kwargs)

    decorated: Callable[..., Any] = run
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated
