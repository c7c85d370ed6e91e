"""Owns the Qwen3 family, dense: query and key have a norm per head, nothing has a bias.

Defaults: transformers, Qwen3Config.
"""

from __future__ import annotations

from quant.families.architecture import DECODER_RULES, Architecture, layer_rule

ARCHITECTURE = Architecture(
    name="qwen3",
    rules=(
        *DECODER_RULES,
        layer_rule("self_attn.q_proj.weight", "attn_q.weight", "n_q", "n_embd"),
        layer_rule("self_attn.k_proj.weight", "attn_k.weight", "n_kv", "n_embd"),
        layer_rule("self_attn.q_norm.weight", "attn_q_norm.weight", "head_dim"),
        layer_rule("self_attn.k_norm.weight", "attn_k_norm.weight", "head_dim"),
    ),
    defaults={
        "head_dim": 128,
        "max_position_embeddings": 32768,
        "num_key_value_heads": 32,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
    },
)
