"""Owns the Qwen3 family with experts: the attention of Qwen3, experts in every layer.

llama.cpp makes the weights of the chosen experts add up to one (src/models/qwen3moe.cpp), so a
config that does not is refused. Defaults: transformers, Qwen3MoeConfig.
"""

from __future__ import annotations

from dataclasses import replace

from quant.families.architecture import without_feed_forward
from quant.families.experts import (
    EXPERT_RULES,
    require_experts_everywhere,
    require_normalised_weights,
)
from quant.families.hyperparameters import Hyperparameters
from quant.families.qwen3 import ARCHITECTURE as QWEN3
from quant.gguf.key_values import KeyValues


def _add_parameters(key_values: KeyValues, prefix: str, parameters: Hyperparameters) -> None:
    require_experts_everywhere(parameters)
    require_normalised_weights(parameters, built_in=True)
    key_values.uint(
        f"{prefix}.expert_feed_forward_length", parameters.size("moe_intermediate_size")
    )


ARCHITECTURE = replace(
    QWEN3,
    name="qwen3moe",
    rules=(*without_feed_forward(QWEN3.rules), *EXPERT_RULES),
    defaults={
        "decoder_sparse_step": 1,
        "intermediate_size": 6144,
        "max_position_embeddings": 32768,
        "moe_intermediate_size": 768,
        "num_experts": 128,
        "num_experts_per_tok": 8,
        "num_key_value_heads": 4,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
    },
    add_parameters=_add_parameters,
)
