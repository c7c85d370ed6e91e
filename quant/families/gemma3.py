"""Owns Gemma 3, text only: Gemma 2 with norms on query and key, and one full layer in six.

Defaults: transformers, Gemma3TextConfig.
"""

from __future__ import annotations

from quant.errors import UnsupportedError
from quant.families.architecture import Architecture
from quant.families.gemma2 import RULES, no_blank_in_front, norm_rule, require_what_is_built_in
from quant.families.hyperparameters import Hyperparameters
from quant.gguf.key_values import KeyValues

_N_LAYER_27B = 62


def _add_parameters(key_values: KeyValues, prefix: str, parameters: Hyperparameters) -> None:
    require_what_is_built_in(parameters, n_layer_27b=_N_LAYER_27B, layers_per_full=6)
    if parameters.values.get("attn_logit_softcapping"):
        raise UnsupportedError("config.json: Gemma 3 has no attn_logit_softcapping in llama.cpp")
    if parameters.values.get("final_logit_softcapping"):
        softcap = parameters.number("final_logit_softcapping")
        key_values.real(f"{prefix}.final_logit_softcapping", softcap)
    key_values.uint(f"{prefix}.attention.sliding_window", parameters.size("sliding_window"))


ARCHITECTURE = Architecture(
    name="gemma3",
    rules=(
        *RULES,
        norm_rule("self_attn.q_norm", "attn_q_norm", "head_dim"),
        norm_rule("self_attn.k_norm", "attn_k_norm", "head_dim"),
    ),
    defaults={
        "head_dim": 256,
        "max_position_embeddings": 131072,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "query_pre_attn_scalar": 256,
        "rms_norm_eps": 1e-6,
        "rope_local_base_freq": 10000.0,
        "rope_theta": 1000000.0,
        "sliding_window": 4096,
        "tie_word_embeddings": True,
    },
    states_head_dim=True,
    add_parameters=_add_parameters,
    unused=("lm_head.weight",),
    after_vocabulary=no_blank_in_front,
)
