"""Owns what a user may fix about loading and sampling; None leaves it to the plan or the model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from backends.cache_types import cache_type
from backends.parameters import FlashAttention
from backends.rpc import RpcServer
from localr1.errors import UsageError
from localr1.plan.request import PlanRequest

BEST_KV = "best"
"""In place of a cache type: the plan picks the most exact one with which the model fits."""

_N_BATCH = 2048  # llama.cpp's default
_N_OUTPUTS = 1  # a reply is sampled from what follows its last token, and from nothing else


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """One load and one way of sampling, as far as the user said."""

    n_ctx: int | Literal["max"] | None = None
    type_k: str = "f16"
    type_v: str = "f16"
    picks_kv: bool = False
    """The plan chooses both types."""
    flash_attn: FlashAttention = "auto"
    n_ubatch: int = 512
    """Tokens of a prompt that are computed at once: fewer take less memory and more time."""
    n_gpu_layers: int | None = None
    n_host_experts: int | None = None
    device: str | None = None
    rpc_servers: tuple[RpcServer, ...] = ()
    """Servers of llama.cpp whose devices are used as well."""
    n_threads: int | None = None
    loads_anyway: bool = False
    thinks: bool = True
    system: str | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    sampling: Mapping[str, float] = field(default_factory=dict)
    """Only what was given: keys are the field names of `Sampling`."""

    def __post_init__(self) -> None:
        if "" in self.stop:
            raise UsageError("--stop needs a text to stop at")

    def plan_request(self) -> PlanRequest:
        """The part that a plan is made for."""
        return PlanRequest(
            n_ctx=self.n_ctx,
            n_batch=max(self.n_ubatch, _N_BATCH),
            n_ubatch=self.n_ubatch,
            n_outputs=_N_OUTPUTS,
            flash_attn=self.flash_attn,
            type_k=self.type_k,
            type_v=self.type_v,
            picks_kv=self.picks_kv,
            n_gpu_layers=self.n_gpu_layers,
            n_host_experts=self.n_host_experts,
            device=self.device,
        )


def parse_kv(text: str) -> tuple[str, str]:
    """`q8_0` or `q8_0,f16` as (type_k, type_v); `best` as what it starts from.

    Raises: UnsupportedParametersError naming the known types; UsageError for more than two.
    """
    if text == BEST_KV:
        return "f16", "f16"
    type_k, *rest = [cache_type(part.strip()).name for part in text.split(",")]
    if len(rest) > 1:
        raise UsageError(f"--kv {text} names more than a K type and a V type")
    return type_k, rest[0] if rest else type_k


def parse_ctx(text: str | None) -> int | Literal["max"] | None:
    """A context in tokens, `16k` of 1024 each, `max`, or None for the plan's choice.

    Raises: UsageError.
    """
    if text is None:
        return None
    if text == "max":
        return "max"
    match = re.fullmatch(r"([1-9][0-9]{0,9})([kK]?)", text)
    if match is None:
        raise UsageError(
            f"--ctx {text} is neither a number of tokens nor max", hint="16384 or 16k, for instance"
        )
    return int(match[1]) * (1024 if match[2] else 1)
