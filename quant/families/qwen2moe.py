"""Owns the Qwen2 family with experts (Qwen1.5-MoE, Qwen2-57B-A14B): one expert sees every token.

llama.cpp takes the weights of the chosen experts as they come (src/models/qwen2moe.cpp), so a
config that makes them add up to one is refused. Defaults: transformers, Qwen2MoeConfig.
"""

from __future__ import annotations

from dataclasses import replace

from quant.families.architecture import layer_rule, without_feed_forward
from quant.families.experts import (
    EXPERT_RULES,
    require_experts_everywhere,
    require_normalised_weights,
)
from quant.families.hyperparameters import Hyperparameters
from quant.families.qwen2 import ARCHITECTURE as QWEN2
from quant.gguf.key_values import KeyValues

_SHARED_SIZE = "shared_expert_intermediate_size"


def _add_parameters(key_values: KeyValues, prefix: str, parameters: Hyperparameters) -> None:
    require_experts_everywhere(parameters)
    require_normalised_weights(parameters, built_in=False)
    key_values.uint(
        f"{prefix}.expert_feed_forward_length", parameters.size("moe_intermediate_size")
    )
    key_values.uint(f"{prefix}.expert_shared_feed_forward_length", parameters.size(_SHARED_SIZE))


ARCHITECTURE = replace(
    QWEN2,
    name="qwen2moe",
    rules=(
        *without_feed_forward(QWEN2.rules),
        *EXPERT_RULES,
        layer_rule("mlp.shared_expert_gate.weight", "ffn_gate_inp_shexp.weight", "1", "n_embd"),
        layer_rule(
            "mlp.shared_expert.down_proj.weight", "ffn_down_shexp.weight", "n_embd", _SHARED_SIZE
        ),
        layer_rule(
            "mlp.shared_expert.gate_proj.weight", "ffn_gate_shexp.weight", _SHARED_SIZE, "n_embd"
        ),
        layer_rule(
            "mlp.shared_expert.up_proj.weight", "ffn_up_shexp.weight", _SHARED_SIZE, "n_embd"
        ),
    ),
    defaults={
        "decoder_sparse_step": 1,
        "intermediate_size": 5632,
        "max_position_embeddings": 32768,
        "moe_intermediate_size": 1408,
        "num_experts": 60,
        "num_experts_per_tok": 4,
        "num_key_value_heads": 16,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        _SHARED_SIZE: 5632,
    },
    add_parameters=_add_parameters,
)
