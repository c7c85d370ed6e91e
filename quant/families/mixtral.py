"""Owns Mixtral: a Llama whose feed-forward network is one of several experts.

A sliding window is not written, as with Mistral. Defaults: transformers, MixtralConfig.
"""

from __future__ import annotations

from dataclasses import replace

from quant.families.architecture import layer_rule, without_feed_forward
from quant.families.llama import ARCHITECTURE as LLAMA

_EXPERT = "block_sparse_moe.experts.{xid}"

ARCHITECTURE = replace(
    LLAMA,
    rules=(
        *without_feed_forward(LLAMA.rules),
        layer_rule("block_sparse_moe.gate.weight", "ffn_gate_inp.weight", "n_expert", "n_embd"),
        layer_rule(f"{_EXPERT}.w1.weight", "ffn_gate_exps.weight", "n_ff", "n_embd"),
        layer_rule(f"{_EXPERT}.w2.weight", "ffn_down_exps.weight", "n_embd", "n_ff"),
        layer_rule(f"{_EXPERT}.w3.weight", "ffn_up_exps.weight", "n_ff", "n_embd"),
    ),
    defaults={
        "max_position_embeddings": 131072,
        "num_experts_per_tok": 2,
        "num_key_value_heads": 8,
        "num_local_experts": 8,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
    },
    states_head_dim=None,
)
