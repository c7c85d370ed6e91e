"""Owns Gemma 2: norms on both sides of attention and feed-forward, soft caps, alternating windows.

Norms are stored as their distance from one. llama.cpp builds the scale of attention and the order
of windows in (src/models/gemma2.cpp), so a config that says otherwise is refused.
Defaults: transformers, Gemma2Config.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quant.errors import UnsupportedError
from quant.families.architecture import (
    FEED_FORWARD_RULES,
    Architecture,
    TensorRule,
    layer_rule,
    plus_one,
)
from quant.families.hyperparameters import Hyperparameters
from quant.gguf.key_values import KeyValues

_N_LAYER_27B = 46
_KEYS = (
    "context_length", "embedding_length", "block_count", "feed_forward_length",
    "attention.head_count", "attention.head_count_kv",
)  # fmt: skip


def norm_rule(source: str, target: str, size: str) -> TensorRule:
    """A norm that is stored as its distance from one."""
    return layer_rule(f"{source}.weight", f"{target}.weight", size, arrange=plus_one)


RULES: tuple[TensorRule, ...] = (
    TensorRule("model.embed_tokens.weight", "token_embd.weight", ("n_vocab", "n_embd")),
    TensorRule("model.norm.weight", "output_norm.weight", ("n_embd",), arrange=plus_one),
    *FEED_FORWARD_RULES,
    layer_rule("self_attn.q_proj.weight", "attn_q.weight", "n_q", "n_embd"),
    layer_rule("self_attn.k_proj.weight", "attn_k.weight", "n_kv", "n_embd"),
    layer_rule("self_attn.v_proj.weight", "attn_v.weight", "n_kv", "n_embd"),
    layer_rule("self_attn.o_proj.weight", "attn_output.weight", "n_embd", "n_q"),
    norm_rule("input_layernorm", "attn_norm", "n_embd"),
    norm_rule("post_attention_layernorm", "post_attention_norm", "n_embd"),
    norm_rule("pre_feedforward_layernorm", "ffn_norm", "n_embd"),
    norm_rule("post_feedforward_layernorm", "post_ffw_norm", "n_embd"),
)


def require_what_is_built_in(
    parameters: Hyperparameters, *, n_layer_27b: int, layers_per_full: int
) -> None:
    """Refuse a scale of attention or an order of windows that llama.cpp does not have."""
    is_27b = parameters.n_layer == n_layer_27b
    scale = parameters.n_embd / parameters.n_head if is_27b else parameters.head_dim
    if parameters.number("query_pre_attn_scalar") != scale:
        raise UnsupportedError(
            f"config.json: query_pre_attn_scalar is not {scale:g}, which is all llama.cpp knows"
        )
    stated: Sequence[Any] | None = parameters.values.get("layer_types")
    built_in = [
        "sliding_attention" if (bid + 1) % layers_per_full else "full_attention"
        for bid in range(parameters.n_layer)
    ]
    step = parameters.values.get("sliding_window_pattern", layers_per_full)
    if (stated or built_in) != built_in or step != layers_per_full:
        raise UnsupportedError(
            f"config.json: not every layer but each {layers_per_full}th has a sliding window, "
            "which is all llama.cpp knows"
        )


def no_blank_in_front(key_values: KeyValues, _parameters: Hyperparameters) -> None:
    """Gemma's tokenizer puts no blank before a text."""
    key_values.flag("tokenizer.ggml.add_space_prefix", False)


def _add_standard(key_values: KeyValues, prefix: str, parameters: Hyperparameters) -> None:
    require_what_is_built_in(parameters, n_layer_27b=_N_LAYER_27B, layers_per_full=2)
    sizes = parameters.standard_sizes()
    for key in _KEYS:
        key_values.uint(f"{prefix}.{key}", sizes[key])
    key_values.real(f"{prefix}.attention.layer_norm_rms_epsilon", parameters.rms_eps)


def _add_parameters(key_values: KeyValues, prefix: str, parameters: Hyperparameters) -> None:
    for key in ("attn_logit_softcapping", "final_logit_softcapping"):
        key_values.real(f"{prefix}.{key}", parameters.number(key))
    key_values.uint(f"{prefix}.attention.sliding_window", parameters.size("sliding_window"))


_DEFAULTS: Mapping[str, float] = {
    "attn_logit_softcapping": 50.0,
    "final_logit_softcapping": 30.0,
    "head_dim": 256,
    "max_position_embeddings": 8192,
    "num_key_value_heads": 4,
    "query_pre_attn_scalar": 256,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
    "sliding_window": 4096,
    "tie_word_embeddings": True,
}

ARCHITECTURE = Architecture(
    name="gemma2",
    rules=RULES,
    defaults=_DEFAULTS,
    states_head_dim=True,
    add_standard=_add_standard,
    add_parameters=_add_parameters,
    unused=("lm_head.weight",),
    after_vocabulary=no_blank_in_front,
)
