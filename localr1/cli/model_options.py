"""Owns the options that say how a model is loaded and sampled, shared by the verbs that do."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, get_args

import click

from backends.parameters import FlashAttention
from localr1.cli.rpc_option import require_allowed, rpc_option
from localr1.model_options import BEST_KV, ModelOptions, parse_ctx, parse_kv


class _FiniteRange(click.FloatRange):
    """A range that `nan` and `inf` are outside of."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is no finite number", param, ctx)
        return number


_KV_HELP = f"KV cache type: K or K,V; {BEST_KV} is the most exact that fits."
_SAMPLING = ("temperature", "top_k", "top_p", "min_p", "repeat_penalty", "seed")
_LOAD_OPTIONS = (
    click.option("--ctx", metavar="N|max", help="Context in tokens, or the longest that fits."),
    click.option("--kv", default="f16", show_default=True, help=_KV_HELP),
    click.option(
        "--flash-attn",
        type=click.Choice(get_args(FlashAttention)),
        default="auto",
        show_default=True,
        help="Flash attention.",
    ),
    click.option(
        "--ubatch",
        "n_ubatch",
        type=click.IntRange(min=1),
        default=512,
        show_default=True,
        help="Tokens of a prompt computed at once.",
    ),
    click.option(
        "--gpu-layers", "n_gpu_layers", type=click.IntRange(min=0), help="Layers on the GPU."
    ),
    click.option(
        "--cpu-moe",
        "n_host_experts",
        type=click.IntRange(min=0),
        help="Keep the experts of that many first layers in the machine's own memory.",
    ),
    click.option("--device", help="Use this device: a name or kind from `localr1 devices`."),
    rpc_option,
)
_CONVERSATION_OPTIONS = (
    click.option(
        "--threads", "n_threads", type=click.IntRange(1, 512), help="CPU threads for decoding."
    ),
    click.option(
        "--load-anyway", "loads_anyway", is_flag=True, help="Load even if the plan says no."
    ),
    click.option(
        "--think/--no-think",
        "thinks",
        default=True,
        help="--no-think asks models that have a switch for it to answer at once.",
    ),
    click.option("--system", help="System prompt."),
    click.option("--max-tokens", type=click.IntRange(min=1), help="Longest reply, in tokens."),
    click.option("--stop", multiple=True, help="End the answer at this text (may be repeated)."),
    click.option("--temp", "temperature", type=_FiniteRange(min=0), help="0 is greedy."),
    click.option("--top-k", type=click.IntRange(min=0), help="0 is off."),
    click.option("--top-p", type=_FiniteRange(0, 1)),
    click.option("--min-p", type=_FiniteRange(0, 1)),
    click.option("--repeat-penalty", type=_FiniteRange(min=0, min_open=True)),
    click.option("--seed", type=click.IntRange(0, 2**32 - 2), help="Makes sampling repeatable."),
)


def with_load_options(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: adds what says how a model is loaded and passes it on as `model_options`."""
    return _with(_LOAD_OPTIONS, verb)


def with_model_options(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: adds all options and passes them on as one `model_options`."""
    return _with((*_LOAD_OPTIONS, *_CONVERSATION_OPTIONS), verb)


def _with(options: Sequence[Callable[..., Any]], verb: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(verb)
    def run(*args: Any, kv: str, ctx: str | None, **kwargs: Any) -> Any:
        type_k, type_v = parse_kv(kv)
        require_allowed(kwargs["rpc_servers"])
        given = {name: kwargs.pop(name, None) for name in _SAMPLING}
        fields = {
            name: kwargs.pop(name) for name in ModelOptions.__dataclass_fields__ if name in kwargs
        }
        model_options = ModelOptions(
            n_ctx=parse_ctx(ctx),
            type_k=type_k,
            type_v=type_v,
            picks_kv=kv == BEST_KV,
            sampling={name: value for name, value in given.items() if value is not None},
            **fields,
        )
        return verb(*args, model_options=model_options, **kwargs)

    decorated: Callable[..., Any] = run
    for option in reversed(options):
        decorated = option(decorated)
    return decorated
