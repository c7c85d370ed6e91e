"""Owns OLMo 2: norms stand behind attention and feed-forward, and over all of query and key.

Defaults: transformers, Olmo2Config.
"""

from __future__ import annotations

from quant.families.architecture import (
    FEED_FORWARD_RULES,
    VOCABULARY_RULES,
    Architecture,
    layer_rule,
)

ARCHITECTURE = Architecture(
    name="olmo2",
    rules=(
        *VOCABULARY_RULES,
        *FEED_FORWARD_RULES,
        layer_rule("self_attn.q_proj.weight", "attn_q.weight", "n_q", "n_embd"),
        layer_rule("self_attn.k_proj.weight", "attn_k.weight", "n_kv", "n_embd"),
        layer_rule("self_attn.v_proj.weight", "attn_v.weight", "n_kv", "n_embd"),
        layer_rule("self_attn.o_proj.weight", "attn_output.weight", "n_embd", "n_q"),
        layer_rule("self_attn.q_norm.weight", "attn_q_norm.weight", "n_q"),
        layer_rule("self_attn.k_norm.weight", "attn_k_norm.weight", "n_kv"),
        layer_rule("post_attention_layernorm.weight", "post_attention_norm.weight", "n_embd"),
        layer_rule("post_feedforward_layernorm.weight", "post_ffw_norm.weight", "n_embd"),
    ),
    defaults={
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
    },
)
