"""Owns gpt-oss: experts in MXFP4 that stay what they are, attention sinks, biases everywhere.

Gate and up projection take turns in the rows of one matrix. llama.cpp builds in the order of
windows, the limits of its activation and the softmax over the chosen experts
(src/models/openai-moe.cpp), so a config that says otherwise is refused.
Defaults: transformers, GptOssConfig.
"""

from __future__ import annotations

from quant.errors import UnsupportedError
from quant.families.architecture import (
    VOCABULARY_RULES,
    Architecture,
    Arrangement,
    TensorRule,
    layer_rule,
)
from quant.families.hyperparameters import Hyperparameters
from quant.gguf.key_values import KeyValues
from quant.rows import picked_columns, picked_rows

_BUILT_IN = {"swiglu_limit": 7.0, "swiglu_alpha": 1.702}


def _with_bias(source: str, target: str, n_rows: str, n_cols: str) -> tuple[TensorRule, ...]:
    return (
        layer_rule(f"{source}.weight", f"{target}.weight", n_rows, n_cols),
        layer_rule(f"{source}.bias", f"{target}.bias", n_rows),
    )


def _every_second(first: int) -> tuple[Arrangement, Arrangement]:
    """Of the rows of a fused matrix, and of its bias, which has a row for each expert."""
    return (
        lambda stored, _parameters: picked_rows(stored, 2, [first]),
        lambda stored, _parameters: picked_columns(stored, 2, first),
    )


def _fused_half(target: str, first: int) -> tuple[TensorRule, ...]:
    of_rows, of_bias = _every_second(first)
    fused = ("n_expert", "2 n_ff", "n_embd")
    source = "mlp.experts.gate_up_proj"
    return (
        layer_rule(
            f"{source}_blocks",
            f"{target}.weight",
            *fused,
            arrange=of_rows,
            into=("n_expert", "n_ff", "n_embd"),
            dtype="MXFP4",
        ),
        layer_rule(
            f"{source}_bias",
            f"{target}.bias",
            *fused[:2],
            arrange=of_bias,
            into=("n_expert", "n_ff"),
        ),
    )


def _require_what_is_built_in(parameters: Hyperparameters) -> None:
    for key, value in _BUILT_IN.items():
        if parameters.number(key) != value:
            raise UnsupportedError(
                f"config.json: {key} is not {value}, which is all llama.cpp knows"
            )
    built_in = [
        "full_attention" if bid % 2 else "sliding_attention" for bid in range(parameters.n_layer)
    ]
    if (parameters.values.get("layer_types") or built_in) != built_in:
        raise UnsupportedError(
            "config.json: not every other layer has a sliding window, which is all llama.cpp knows"
        )


def _add_parameters(key_values: KeyValues, prefix: str, parameters: Hyperparameters) -> None:
    _require_what_is_built_in(parameters)
    key_values.uint(f"{prefix}.attention.sliding_window", parameters.size("sliding_window"))
    key_values.uint(f"{prefix}.expert_feed_forward_length", parameters.n_ff)


ARCHITECTURE = Architecture(
    name="gpt-oss",
    rules=(
        *VOCABULARY_RULES,
        layer_rule("input_layernorm.weight", "attn_norm.weight", "n_embd"),
        layer_rule("post_attention_layernorm.weight", "post_attention_norm.weight", "n_embd"),
        *_with_bias("self_attn.q_proj", "attn_q", "n_q", "n_embd"),
        *_with_bias("self_attn.k_proj", "attn_k", "n_kv", "n_embd"),
        *_with_bias("self_attn.v_proj", "attn_v", "n_kv", "n_embd"),
        *_with_bias("self_attn.o_proj", "attn_output", "n_embd", "n_q"),
        layer_rule("self_attn.sinks", "attn_sinks.weight", "n_head"),
        *_with_bias("mlp.router", "ffn_gate_inp", "n_expert", "n_embd"),
        *_fused_half("ffn_gate_exps", 0),
        *_fused_half("ffn_up_exps", 1),
        layer_rule(
            "mlp.experts.down_proj_blocks",
            "ffn_down_exps.weight",
            "n_expert",
            "n_embd",
            "n_ff",
            dtype="MXFP4",
        ),
        layer_rule("mlp.experts.down_proj_bias", "ffn_down_exps.bias", "n_expert", "n_embd"),
    ),
    defaults={
        "head_dim": 64,
        "max_position_embeddings": 131072,
        "num_experts_per_tok": 4,
        "num_key_value_heads": 8,
        "num_local_experts": 128,
        "rms_norm_eps": 1e-5,
        "rope_theta": 150000.0,
        "sliding_window": 128,
        **_BUILT_IN,
    },
    states_head_dim=True,
    add_parameters=_add_parameters,
)
