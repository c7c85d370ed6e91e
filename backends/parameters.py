"""Owns what a load asks for (`LoadRequest`) and what llama.cpp is told (`EngineParameters`).

The first is the plan's language: a context, cache types, how many layers to offload, or "as
many as go". The second names llama.cpp's own parameters one for one; `dispatch` turns one into
the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FlashAttention = Literal["auto", "on", "off"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadRequest:
    """What the user and the plan want, before a device is chosen."""

    model_path: str
    n_ctx: int
    n_layer: int
    """Transformer blocks in the model; the output layer counts as one more when offloading."""
    n_batch: int = 2048
    n_ubatch: int = 512
    n_outputs: int | None = None
    """Tokens of a batch that logits are computed for; None keeps room for all of them."""
    type_k: str = "f16"
    type_v: str = "f16"
    flash_attn: FlashAttention = "auto"
    n_gpu_layers: int | None = None
    """None means all of them on a GPU. Ignored on a CPU."""
    layers_per_device: tuple[int, ...] = ()
    """How many of them each device gets, in order; empty lets llama.cpp go by free memory."""
    n_host_experts: int = 0
    """The experts of that many first layers stay on the host, even where their layer does not."""
    n_threads: int | None = None
    """None means the backend's choice."""
    use_mmap: bool = True
    swa_full: bool = False
    """True keeps the whole context for sliding-window layers too: more memory, more reuse."""

    @property
    def n_offloaded(self) -> int:
        """Layers that go to a GPU, the output layer counted."""
        every_layer = self.n_layer + 1
        return every_layer if self.n_gpu_layers is None else min(self.n_gpu_layers, every_layer)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineParameters:
    """llama.cpp's load and context parameters, by their own names."""

    model_path: str
    devices: tuple[str, ...]
    """ggml device names to offload to; empty means CPU only."""
    n_gpu_layers: int
    split_mode: Literal["none", "layer", "row"]
    tensor_split: tuple[float, ...]
    """Proportion per device; empty lets llama.cpp split by free memory."""
    use_mmap: bool
    n_ctx: int
    n_batch: int
    n_ubatch: int
    n_seq_max: int
    n_outputs_max: int = 0
    """0 keeps room for the logits of every token of a batch."""
    observes_inputs: bool = False
    """Adds up what the weights are multiplied with (cb_eval), for an importance matrix."""
    n_threads: int
    n_threads_batch: int
    flash_attn: FlashAttention
    type_k: str
    type_v: str
    swa_full: bool = False
    n_host_experts: int = 0
    """The experts of that many first layers stay on the host."""
