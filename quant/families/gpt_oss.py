"""Owns gpt-oss: experts in MXFP4 that stay what they are, attention sinks, biases everywhere.

Gate and up projection take turns in the rows of one matrix. Fine-tunes come in BF16, with every
expert's matrix turned around. llama.cpp builds the order of windows and the limits of the
activation in (src/models/openai-moe.cpp), so a config that says otherwise is refused.
Defaults: transformers, GptOssConfig.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from quant.errors import UnsupportedError
from quant.families.architecture import VOCABULARY_RULES, Architecture, TensorRule, layer_rule
from quant.families.hyperparameters import Hyperparameters
from quant.gguf.key_values import KeyValues
from quant.rows import RowSource, picked_columns, picked_rows, transposed_rows
from quant.source.safetensors import StoredTensor

_BUILT_IN = {"swiglu_limit": 7.0, "swiglu_alpha": 1.702}


def _with_bias(source: str, target: str, n_rows: str, n_cols: str) -> tuple[TensorRule, ...]:
    return (
        layer_rule(f"{source}.weight", f"{target}.weight", n_rows, n_cols),
        layer_rule(f"{source}.bias", f"{target}.bias", n_rows),
    )


def _packed_layers(parameters: Hyperparameters) -> Iterable[int]:
    return range(parameters.n_layer) if _is_packed(parameters) else ()


def _wide_layers(parameters: Hyperparameters) -> Iterable[int]:
    return () if _is_packed(parameters) else range(parameters.n_layer)


def _is_packed(parameters: Hyperparameters) -> bool:
    quantization = parameters.values.get("quantization_config")
    return isinstance(quantization, dict) and quantization.get("quant_method") == "mxfp4"


def _expert_rules(
    source: str, target: str, n_rows: str, n_cols: str, half: int | None = None
) -> tuple[TensorRule, ...]:
    """Experts in MXFP4 or, turned around, in a wide format, and their bias.

    `half` 0 or 1 takes the even or odd rows of a matrix twice as high.
    """
    high, step, first = (n_rows, 1, 0) if half is None else (f"2 {n_rows}", 2, half)

    def packed(stored: StoredTensor, _parameters: Hyperparameters) -> RowSource:
        return picked_rows(stored, step, [first])

    def wide(stored: StoredTensor, parameters: Hyperparameters) -> RowSource:
        columns = picked_columns(stored, step, first)
        return transposed_rows(columns, parameters.dimension(n_cols))

    def bias(stored: StoredTensor, _parameters: Hyperparameters) -> RowSource:
        return picked_columns(stored, step, first)

    source, shape = f"mlp.experts.{source}", ("n_expert", n_rows, n_cols)
    rule = layer_rule(source, f"{target}.weight", "n_expert", n_cols, high, into=shape)
    return (
        replace(rule, arrange=wide, layers=_wide_layers),
        replace(
            rule,
            source=f"{rule.source}_blocks",
            shape=("n_expert", high, n_cols),
            arrange=packed,
            layers=_packed_layers,
            dtype="MXFP4",
        ),
        layer_rule(
            f"{source}_bias", f"{target}.bias", "n_expert", high, arrange=bias, into=shape[:2]
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
        *_expert_rules("gate_up_proj", "ffn_gate_exps", "n_ff", "n_embd", 0),
        *_expert_rules("gate_up_proj", "ffn_up_exps", "n_ff", "n_embd", 1),
        *_expert_rules("down_proj", "ffn_down_exps", "n_embd", "n_ff"),
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
