"""Owns the sizes of a model of which only the key-values are known, without a tensor table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from localr1.metadata.assumed_altup import altup_layer_tensors, altup_model_tensors
from localr1.metadata.assumed_tensors import (
    LEARNED_POSITIONS,
    Dims,
    Sizes,
    layer_tensors,
    model_tensors,
)
from quant.gguf.contents import Value
from quant.recipe import ModelFacts

_MAX_LAYERS = 512


@dataclass(frozen=True, slots=True)
class AssumedShape:
    """The sizes of one model, read from its key-values.

    Every method raises what `refused` makes of a sentence where a size is missing or impossible.
    """

    kv: Mapping[str, Value]
    arch: str
    refused: Callable[[str], Exception]

    def count(self, name: str, default: int | None = None) -> int:
        """A whole number by the last part of its key; of values per layer the largest."""
        value = self.kv.get(f"{self.arch}.{name}", default)
        if isinstance(value, tuple):
            value = max((item for item in value if isinstance(item, int)), default=None)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
            raise self.refused(f"{self.arch}.{name} is {str(value)[:40]}, no whole number")
        return value

    def dims(self) -> dict[str, Dims]:
        """The dimensions of each tensor, row length first."""
        sizes, n_layer = self._sizes(), self.count("block_count")
        if not 1 <= n_layer <= _MAX_LAYERS:
            raise self.refused(f"{self.arch}.block_count is {n_layer}, not from 1 to 512")
        n_dense = self.count("leading_dense_block_count", 0)
        dims: dict[str, Dims] = {}
        if self.arch in LEARNED_POSITIONS:
            dims["position_embd.weight"] = (sizes.n_embd, self.count("context_length"))
        dims |= model_tensors(sizes)
        kinds = [layer_tensors(sizes, has_experts=has_experts) for has_experts in (False, True)]
        if self.arch == "gemma3n":
            dims |= altup_model_tensors(sizes, n_layer)
            kinds = [{**kind, **altup_layer_tensors(sizes)} for kind in kinds]
        for i in range(n_layer):
            has_experts = sizes.n_expert > 0 and i >= n_dense
            for name, shape in kinds[has_experts].items():
                dims[f"blk.{i}.{name}"] = shape
        # a layer without heads attends to nothing
        return {name: shape for name, shape in dims.items() if 0 not in shape}

    def facts(self) -> ModelFacts:
        """What the choice of types depends on."""
        n_head = self.count("attention.head_count")
        return ModelFacts(
            architecture=self.arch,
            n_layer=self.count("block_count"),
            n_head=n_head,
            n_head_kv=self.count("attention.head_count_kv", n_head),
            n_expert=self.count("expert_count", 0),
        )

    def _sizes(self) -> Sizes:
        n_embd, n_head = self.count("embedding_length"), self.count("attention.head_count")
        dim = n_embd // n_head if n_head else 0
        n_ff = self.count("feed_forward_length", 0)
        n_ff_exp = self.count("expert_feed_forward_length", n_ff)
        unfolded = self.count("attention.value_length_mla", 0)
        return Sizes(
            arch=self.arch,
            n_embd=n_embd,
            n_vocab=self.count("vocab_size"),
            n_head=n_head,
            n_head_kv=self.count("attention.head_count_kv", n_head),
            dim_k=self.count(f"attention.key_length{'_mla' if unfolded else ''}", dim),
            dim_v=self.count("attention.value_length", dim),
            n_ff=n_ff,
            n_expert=self.count("expert_count", 0),
            n_ff_exp=n_ff_exp,
            n_ff_shared=self._shared_width(n_ff, n_ff_exp),
            n_lora_q=self.count("attention.q_lora_rank", 0),
            n_latent=self.count("attention.kv_lora_rank", 0),
            n_rope=self.count("rope.dimension_count", 64),
            dim_v_unfolded=unfolded,
            has_selection_bias=self.kv.get(f"{self.arch}.expert_gating_func") == 2,
        )

    def _shared_width(self, n_ff: int, n_ff_exp: int) -> int:
        # files that do not say let all tokens share a network of the dense size
        default = n_ff if self.arch == "qwen2moe" else 0
        stated = self.count("expert_shared_feed_forward_length", 0) or default
        return stated or self.count("expert_shared_count", 0) * n_ff_exp
