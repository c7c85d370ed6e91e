"""Owns the option `--rpc`: servers that lend their devices, and what `--offline` says to them."""

from __future__ import annotations

from collections.abc import Sequence

import click

from backends.rpc import RpcServer, parse_server
from localr1.cli.options import is_offline
from localr1.errors import OfflineError


def _servers(
    _ctx: click.Context, _option: click.Parameter, texts: tuple[str, ...]
) -> tuple[RpcServer, ...]:
    return tuple(dict.fromkeys(parse_server(text) for text in texts))


rpc_option = click.option(
    "--rpc",
    "rpc_servers",
    multiple=True,
    metavar="HOST:PORT",
    envvar="LOCALR1_RPC",
    show_envvar=True,
    callback=_servers,
    help="Also use the devices of llama.cpp's RPC server there; repeat it for several. Weights and "
    "everything that is computed from your words go to that host, unencrypted.",
)


def require_allowed(servers: Sequence[RpcServer]) -> None:
    """Raises: OfflineError if the verb was given `--offline` and a server on another machine."""
    remote = [server for server in servers if not server.is_loopback]
    if remote and is_offline():
        raise OfflineError(
            f"{remote[0].endpoint} is another machine, and --offline forbids the network",
            hint="leave out --offline, or --rpc",
        )
