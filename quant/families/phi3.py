"""Owns Phi-3 and Phi-4-mini: fused projections, frequency factors for short and for long texts.

Query, key and value are one matrix, gate and up another; llama.cpp takes them as they are.
Keys and their order: conversion/phi.py. Defaults: transformers, Phi3Config.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from quant.dtypes import Float32Array
from quant.errors import CheckpointDamagedError
from quant.families.architecture import VOCABULARY_RULES, Architecture, layer_rule
from quant.families.hyperparameters import Hyperparameters
from quant.gguf.key_values import KeyValues

_KEYS = (
    "embedding_length", "feed_forward_length", "block_count",
    "attention.head_count", "attention.head_count_kv",
)  # fmt: skip


def _scaling(parameters: Hyperparameters) -> dict[str, Any]:
    values = parameters.values
    scaling = values.get("rope_parameters") or values.get("rope_scaling") or {}
    return dict(scaling)  # hyperparameters has refused everything but an object


def _n_rotary(parameters: Hyperparameters) -> int:
    scaling = _scaling(parameters)
    holder = scaling if "partial_rotary_factor" in scaling else parameters.values
    part = holder.get("partial_rotary_factor", 1.0)
    if isinstance(part, bool) or not isinstance(part, int | float) or not 0 < part <= 1:
        raise CheckpointDamagedError(
            f"config.json: partial_rotary_factor is {str(part)[:40]}, not a number up to 1"
        )
    return int(part * parameters.n_embd) // parameters.n_head


def _n_ctx_before(parameters: Hyperparameters) -> int:
    stated = parameters.rope.n_ctx_before
    return parameters.size("original_max_position_embeddings") if stated is None else stated


def _attention_factor(parameters: Hyperparameters) -> float:
    """How much attention is sharpened for texts longer than those of the first training."""
    before = _n_ctx_before(parameters)
    scale = parameters.n_ctx / before
    if scale <= 1:
        return 1.0
    if parameters.rope.rope_type == "yarn":
        return 0.1 * math.log(scale) + 1.0
    if before == 1:
        raise CheckpointDamagedError(
            "config.json: original_max_position_embeddings is 1, which cannot be stretched"
        )
    return math.sqrt(1 + math.log(scale) / math.log(before))


def _rope_factors(parameters: Hyperparameters) -> dict[str, Float32Array]:
    if not _scaling(parameters).get("long_factor"):
        return {}
    return {f"rope_factors_{kind}.weight": _factors(parameters, kind) for kind in ("long", "short")}


def _factors(parameters: Hyperparameters, kind: str) -> Float32Array:
    factors = _scaling(parameters).get(f"{kind}_factor")
    n_needed = _n_rotary(parameters) // 2
    if not isinstance(factors, list) or len(factors) != n_needed:
        raise CheckpointDamagedError(f"config.json: {kind}_factor is no list of {n_needed} numbers")
    for factor in factors:
        if type(factor) not in {int, float} or not 0 < factor < 3e38:
            raise CheckpointDamagedError(f"config.json: {kind}_factor holds {str(factor)[:40]}")
    return np.array(factors, dtype=np.float32)


def _add_standard(key_values: KeyValues, prefix: str, parameters: Hyperparameters) -> None:
    if _scaling(parameters).get("long_factor"):
        # llama.cpp's converter knows it when it meets the tensors, before anything else
        key = f"{prefix}.rope.scaling.attn_factor"
        key_values.real(key, _attention_factor(parameters))
        key_values.move_behind(key, "general.architecture")
    sizes = parameters.standard_sizes()
    key_values.uint(f"{prefix}.context_length", parameters.n_ctx)
    key = f"{prefix}.rope.scaling.original_context_length"
    key_values.uint(key, _n_ctx_before(parameters))
    for key in _KEYS:
        key_values.uint(f"{prefix}.{key}", sizes[key])
    key_values.real(f"{prefix}.attention.layer_norm_rms_epsilon", parameters.rms_eps)
    key_values.uint(f"{prefix}.rope.dimension_count", _n_rotary(parameters))
    key_values.real(f"{prefix}.rope.freq_base", parameters.rope.theta)


def _add_parameters(key_values: KeyValues, prefix: str, parameters: Hyperparameters) -> None:
    has_window = parameters.values.get("sliding_window") is not None
    # zero tells Phi-4 from its elders
    window = parameters.size("sliding_window") if has_window else 0
    key_values.uint(f"{prefix}.attention.sliding_window", window)


ARCHITECTURE = Architecture(
    name="phi3",
    rules=(
        *VOCABULARY_RULES,
        layer_rule("input_layernorm.weight", "attn_norm.weight", "n_embd"),
        layer_rule("self_attn.qkv_proj.weight", "attn_qkv.weight", "n_qkv", "n_embd"),
        layer_rule("self_attn.o_proj.weight", "attn_output.weight", "n_embd", "n_q"),
        layer_rule("post_attention_layernorm.weight", "ffn_norm.weight", "n_embd"),
        layer_rule("mlp.gate_up_proj.weight", "ffn_up.weight", "2 n_ff", "n_embd"),
        layer_rule("mlp.down_proj.weight", "ffn_down.weight", "n_embd", "n_ff"),
    ),
    defaults={
        "max_position_embeddings": 4096,
        "original_max_position_embeddings": 4096,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
    },
    states_head_dim=False,
    add_standard=_add_standard,
    add_parameters=_add_parameters,
    has_long_rope=True,
    made_tensors=_rope_factors,
)
