"""Owns the Qwen2 family: Qwen2, Qwen2.5 and the R1 distillations into them.

Query, key and value have biases; the rotary order is the one llama.cpp uses for this family, so no
rows move. Defaults: transformers, Qwen2Config.
"""

from __future__ import annotations

from quant.families.architecture import DECODER_RULES, Architecture, layer_rule

ARCHITECTURE = Architecture(
    name="qwen2",
    rules=(
        *DECODER_RULES,
        layer_rule("self_attn.q_proj.weight", "attn_q.weight", "n_q", "n_embd"),
        layer_rule("self_attn.q_proj.bias", "attn_q.bias", "n_q"),
        layer_rule("self_attn.k_proj.weight", "attn_k.weight", "n_kv", "n_embd"),
        layer_rule("self_attn.k_proj.bias", "attn_k.bias", "n_kv"),
        layer_rule("self_attn.v_proj.bias", "attn_v.bias", "n_kv"),
    ),
    defaults={
        "max_position_embeddings": 32768,
        "num_key_value_heads": 32,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
    },
)
