"""Owns what a plan is asked: how the model shall be loaded, and what memory the host has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from backends.cache_types import cache_type
from backends.errors import UnsupportedParametersError
from backends.parameters import FlashAttention
from localr1.errors import UsageError

MAX_N_CTX = 2**31 - 256  # llama.cpp counts cells in 32 bits


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRequest:
    """How the model shall be loaded. Defaults are the engine's."""

    n_ctx: int | Literal["max"] | None = None
    """None lets the plan choose; "max" is the longest context that fits."""
    n_batch: int = 2048
    n_ubatch: int = 512
    n_seq_max: int = 1
    n_outputs: int | None = None
    """Tokens of a batch that logits are computed for; None keeps room for all, as others do."""
    flash_attn: FlashAttention = "auto"
    type_k: str = "f16"
    type_v: str = "f16"
    picks_kv: bool = False
    """Take the most exact cache types with which the model fits, whatever the two above say."""
    n_gpu_layers: int | None = None
    """None puts as many layers on the GPU as fit. The output layer counts as one."""
    n_host_experts: int | None = None
    """Keep the experts of that many first layers on the host; None keeps as few as must be."""
    swa_full: bool = False
    kv_unified: bool = False
    """All sequences share the cells, instead of each having its part."""
    use_mmap: bool = True
    engine_build: int | None = None
    """llama.cpp's build number if it is another version than the one that is mirrored."""
    device: str | None = None
    """A device name or kind, or several names; None means the best there is."""

    def __post_init__(self) -> None:
        n_outputs = self.n_batch if self.n_outputs is None else self.n_outputs
        counts = (self.n_batch, self.n_ubatch, self.n_seq_max, n_outputs)
        if min(counts) < 1 or max(counts) > MAX_N_CTX:
            raise UsageError(
                "batch sizes and numbers of sequences and outputs must be positive 32-bit numbers"
            )
        if isinstance(self.n_ctx, int) and not 0 < self.n_ctx <= MAX_N_CTX:
            raise UsageError(f"a context of {self.n_ctx} tokens makes no sense")
        cache_type(self.type_k)
        if cache_type(self.type_v).is_quantised and self.flash_attn == "off":
            raise UnsupportedParametersError(
                f"a {self.type_v} V cache needs flash attention, which is switched off",
                hint="leave flash attention on, or use f16 for V",
            )

    @property
    def uses_flash_attn(self) -> bool:
        """`auto` is on: every backend of the pinned llama.cpp has it for dense attention."""
        return self.flash_attn != "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostMemory:
    """The machine's own memory, and what of its processor decides how weights are stored."""

    total_bytes: int
    available_bytes: int
    """What can be had without swapping; pages of mapped files count as available."""
    cpu_features: frozenset[str] = frozenset()
    """Of `avx2`, `avx512`, `dotprod`."""
