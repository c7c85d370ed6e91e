"""Owns the Llama family: Llama 2 and 3, SmolLM, and the R1 distillations into Llama 3.

llama.cpp rotates neighbouring pairs where transformers rotates halves, so the rows of query and key
are reordered per head. Llama 3's stretched frequencies become the tensor `rope_freqs.weight`.
Defaults: transformers, LlamaConfig.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from quant.dtypes import Float32Array
from quant.errors import CheckpointDamagedError
from quant.families.architecture import (
    DECODER_RULES,
    Architecture,
    TensorRule,
    interleaved,
    layer_rule,
)
from quant.families.hyperparameters import Hyperparameters
from quant.gguf.key_values import KeyValues

_N_VOCAB_WITHOUT_BOS = 49152


def _add_parameters(key_values: KeyValues, prefix: str, parameters: Hyperparameters) -> None:
    key_values.uint(f"{prefix}.vocab_size", parameters.n_vocab)
    key_values.uint(f"{prefix}.rope.dimension_count", parameters.head_dim)


def _add_space_prefix(key_values: KeyValues, tokenizer_config: Mapping[str, Any]) -> None:
    if isinstance(adds_space := tokenizer_config.get("add_prefix_space"), bool):
        key_values.flag("tokenizer.ggml.add_space_prefix", adds_space)


def _refuse_bos_for_smollm(key_values: KeyValues, parameters: Hyperparameters) -> None:
    # conversion/llama.py knows SmolLM and small Granite by their vocabulary: never a BOS
    if parameters.n_vocab == _N_VOCAB_WITHOUT_BOS:
        key_values.flag("tokenizer.ggml.add_bos_token", False)


def _rope_frequencies(parameters: Hyperparameters) -> dict[str, Float32Array]:
    if parameters.rope.rope_type != "llama3":
        return {}
    return {"rope_freqs.weight": llama3_factors(parameters)}


def llama3_factors(parameters: Hyperparameters) -> Float32Array:
    """By how much each rotary frequency is divided: 1 for short waves, `factor` for long ones.

    Shapes: (head_dim / 2,). Float32 throughout, in the order of operations of
    conversion/llama.py, generate_extra_tensors, so that the bits are the same: torch divides a
    number by a tensor as reciprocal times number, which rounds twice.
    """
    options = parameters.rope.options
    factor = np.float32(options.get("factor", 8.0))
    low = np.float32(options.get("low_freq_factor", 1.0))
    high = np.float32(options.get("high_freq_factor", 4.0))
    n_old = np.float32(parameters.rope.n_ctx_before or 8192)
    if not (factor > 0 and 0 < low < high):
        raise CheckpointDamagedError("config.json: the factors of llama3 scaling make no sense")
    exponents = np.arange(0, parameters.head_dim, 2, dtype=np.float32) / np.float32(
        parameters.head_dim
    )
    # the power in double precision and rounded once; float32 powers differ between libraries
    powers = np.power(float(parameters.rope.theta), exponents.astype(np.float64))
    frequencies = np.float32(1) / powers.astype(np.float32)
    wavelengths = np.float32(1) / frequencies * np.float32(2 * math.pi)
    n_waves = np.float32(1) / wavelengths * n_old
    smooth = (n_waves - low) / (high - low)
    blended = np.float32(1) / ((np.float32(1) - smooth) / factor + smooth)
    factors = np.where(wavelengths > n_old / low, factor, blended)
    return np.where(wavelengths < n_old / high, np.float32(1), factors).astype(np.float32)


def _optional_bias(source: str, target: str, size: str) -> TensorRule:
    return layer_rule(f"{source}.bias", f"{target}.bias", size, is_required=False)


def _rotary(part: str, size: str) -> tuple[TensorRule, ...]:
    source, target = f"self_attn.{part}_proj", f"attn_{part}"
    weight = layer_rule(f"{source}.weight", f"{target}.weight", size, "n_embd", arrange=interleaved)
    return weight, replace(_optional_bias(source, target, size), arrange=interleaved)


ARCHITECTURE = Architecture(
    name="llama",
    rules=(
        *DECODER_RULES,
        *_rotary("q", "n_q"),
        *_rotary("k", "n_kv"),
        _optional_bias("self_attn.v_proj", "attn_v", "n_kv"),
        _optional_bias("self_attn.o_proj", "attn_output", "n_embd"),
        _optional_bias("mlp.gate_proj", "ffn_gate", "n_ff"),
        _optional_bias("mlp.up_proj", "ffn_up", "n_ff"),
        _optional_bias("mlp.down_proj", "ffn_down", "n_embd"),
    ),
    defaults={
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
    },
    states_head_dim=True,
    add_parameters=_add_parameters,
    made_tensors=_rope_frequencies,
    before_vocabulary=_add_space_prefix,
    after_vocabulary=_refuse_bos_for_smollm,
)
