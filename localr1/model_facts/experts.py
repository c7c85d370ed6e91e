"""Owns what a header says about a mixture of experts, and what llama.cpp has built in for a family.

Source: `load_arch_hparams` and the calls of `build_moe_ffn` in src/models/*.cpp of llama.cpp at the
pinned version.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto


class Gating(Enum):
    """How scores become weights."""

    SOFTMAX = auto()
    SIGMOID = auto()
    SOFTMAX_OF_CHOSEN = auto()
    """Over the chosen experts only."""


@dataclass(frozen=True, slots=True)
class Experts:
    """A few of many: how many there are, how many see a token, how their results are weighed."""

    n_expert: int
    n_used: int
    gating: Gating = Gating.SOFTMAX
    is_normalised: bool = False
    """The weights of a token's experts add up to one."""
    scale: float = 1.0
    n_groups: int = 1
    n_groups_used: int = 1


_GATING_IDS = {1: Gating.SOFTMAX, 2: Gating.SIGMOID, 3: Gating.SOFTMAX_OF_CHOSEN}
"""By `expert_gating_func` in the header."""

_BUILT_IN_GATING = {"gpt-oss": Gating.SOFTMAX_OF_CHOSEN}

_NORMALISES = frozenset(
    {
        "arctic", "dbrx", "ernie4_5-moe", "gemma4", "granite", "granitehybrid", "granitemoe",
        "grok", "grovemoe", "hunyuan-moe", "lfm2", "lfm2moe", "llama", "mellum", "mimo2",
        "minimax-m2", "mistral3", "phimoe", "qwen35moe", "qwen3moe", "qwen3next", "qwen3vlmoe",
        "smallthinker",
    }
)  # fmt: skip
"""Families whose weights are normalised whatever the header says."""


def read_experts(
    kv: Mapping[str, object], arch: str, *, n_expert: int, n_used: int
) -> Experts | None:
    """The experts of a model, None if it is dense. Odd values count as absent: they cost bytes."""
    if not n_expert or not n_used:
        return None
    gating = kv.get(f"{arch}.expert_gating_func")
    scale = kv.get(f"{arch}.expert_weights_scale")
    n_groups = _count(kv.get(f"{arch}.expert_group_count"), most=n_expert)
    has_groups = n_expert % n_groups == 0 and n_expert // n_groups > 1
    return Experts(
        n_expert=n_expert,
        n_used=n_used,
        gating=_BUILT_IN_GATING.get(arch)
        or _GATING_IDS.get(gating if isinstance(gating, int) else 0, Gating.SOFTMAX),
        is_normalised=arch in _NORMALISES or kv.get(f"{arch}.expert_weights_norm") is True,
        scale=float(scale) if isinstance(scale, int | float) else 1.0,
        n_groups=n_groups if has_groups else 1,
        n_groups_used=_count(kv.get(f"{arch}.expert_group_used_count"), most=n_groups),
    )


def _count(value: object, *, most: int) -> int:
    return value if type(value) is int and 1 <= value <= most else 1
