"""Owns DeepSeek V2, V2-Lite and V2.5: attention through a latent, experts after a few dense layers.

llama.cpp attends to the latent itself, as to one head with one key for all, so the matrix that
would unfold it is cut in two, and the part for keys is turned around in every head. The name and
the scale of the last key, rope.scaling.yarn_log_multiplier, are those of conversion/deepseek.py.
What llama.cpp has built in (src/models/deepseek2.cpp, src/llama-context.cpp) and a config says
otherwise is refused. Defaults: transformers, DeepseekV2Config.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from quant.errors import CheckpointDamagedError, UnsupportedError
from quant.families.architecture import (
    FEED_FORWARD_RULES,
    VOCABULARY_RULES,
    Architecture,
    TensorRule,
    layer_rule,
)
from quant.families.experts import EXPERT_RULES
from quant.families.hyperparameters import Hyperparameters
from quant.gguf.key_values import KeyValues
from quant.rows import RowSource, picked_rows, transposed_rows
from quant.source.safetensors import StoredTensor

_LITE_LAYERS, _LITE_LAYERS_AND_VOCAB = (26, 27), (48, 128256)
"""llama.cpp takes models of so many layers, and no others, for ones without `q_lora_rank`."""


def _adapt(parameters: Hyperparameters) -> Hyperparameters:
    n_key, n_rotary = parameters.size("qk_nope_head_dim"), parameters.size("qk_rope_head_dim")
    n_value, n_head = parameters.size("v_head_dim"), parameters.n_head
    sizes = {
        "n_queries": n_head * (n_key + n_rotary),
        "n_latent": parameters.size("kv_lora_rank") + n_rotary,
        "n_unfolded": n_head * (n_key + n_value),
        "n_values": n_head * n_value,
        "n_ff_shared": parameters.size("moe_intermediate_size")
        * parameters.size("n_shared_experts"),
    }
    adapted = replace(
        parameters, n_head_kv=1, head_dim=n_rotary, values={**parameters.values, **sizes}
    )
    _require_what_is_built_in(adapted)
    return adapted


def _require_what_is_built_in(parameters: Hyperparameters) -> None:
    values, options = parameters.values, parameters.rope.options
    is_lite = (
        parameters.n_layer in _LITE_LAYERS
        or (parameters.n_layer, parameters.n_vocab) == _LITE_LAYERS_AND_VOCAB
    )
    if is_lite == ("q_lora_rank" in values):
        raise UnsupportedError(
            "config.json: llama.cpp knows models without q_lora_rank only with 26 or 27 layers "
            "(or 48, with 128,256 tokens), and no others with so many"
        )
    if values.get("moe_layer_freq", 1) != 1:
        raise UnsupportedError("config.json: moe_layer_freq is not 1, which is all llama.cpp knows")
    if values.get("rope_interleave") is False:
        raise UnsupportedError("config.json: rope_interleave is false, which llama.cpp cannot do")
    scales = options.get("mscale", 0), options.get("mscale_all_dim", 0)
    if parameters.rope.rope_type == "yarn" and (scales[0] != scales[1] or not scales[0]):
        raise UnsupportedError(
            f"config.json: mscale is {scales[0]} and mscale_all_dim {scales[1]}; "
            "llama.cpp is right only if they are the same and not 0"
        )
    _require_groups(parameters)


def _require_groups(parameters: Hyperparameters) -> None:
    if parameters.values.get("n_group", 1) == 1:
        return
    n_group, n_used = parameters.size("n_group"), parameters.size("topk_group")
    if parameters.n_expert % n_group or parameters.n_expert < 2 * n_group or n_used >= n_group:
        raise CheckpointDamagedError(
            f"config.json: {parameters.n_expert} experts cannot be chosen from {n_used} "
            f"of {n_group} groups"
        )


def _n_dense(parameters: Hyperparameters) -> int:
    n_dense = parameters.number("first_k_dense_replace")
    if n_dense != int(n_dense) or n_dense > parameters.n_layer:
        raise CheckpointDamagedError(f"config.json: first_k_dense_replace is {n_dense}")
    return int(n_dense)


def _dense_layers(parameters: Hyperparameters) -> Iterable[int]:
    return range(_n_dense(parameters))


def _expert_layers(parameters: Hyperparameters) -> Iterable[int]:
    return range(_n_dense(parameters), parameters.n_layer)


def _layers_with_folded_query(parameters: Hyperparameters) -> Iterable[int]:
    return range(parameters.n_layer if "q_lora_rank" in parameters.values else 0)


def _layers_with_plain_query(parameters: Hyperparameters) -> Iterable[int]:
    return range(0 if "q_lora_rank" in parameters.values else parameters.n_layer)


def _keys(stored: StoredTensor, parameters: Hyperparameters) -> RowSource:
    n_key = parameters.size("qk_nope_head_dim")
    period = n_key + parameters.size("v_head_dim")
    return transposed_rows(picked_rows(stored, period, range(n_key)), n_key)


def _values(stored: StoredTensor, parameters: Hyperparameters) -> RowSource:
    n_key = parameters.size("qk_nope_head_dim")
    period = n_key + parameters.size("v_head_dim")
    return picked_rows(stored, period, range(n_key, period))


def expert_rule(source: str, target: str, *shape: str) -> TensorRule:
    """The rule for a tensor of every layer that has experts."""
    return layer_rule(source, target, *shape, layers=_expert_layers)


_HEADS = "num_attention_heads"
RULES = (
    *VOCABULARY_RULES,
    *(replace(rule, layers=_dense_layers) for rule in FEED_FORWARD_RULES),
    *(replace(rule, layers=_expert_layers) for rule in EXPERT_RULES),
    expert_rule(
        "mlp.shared_experts.down_proj.weight", "ffn_down_shexp.weight", "n_embd", "n_ff_shared"
    ),
    expert_rule(
        "mlp.shared_experts.gate_proj.weight", "ffn_gate_shexp.weight", "n_ff_shared", "n_embd"
    ),
    expert_rule(
        "mlp.shared_experts.up_proj.weight", "ffn_up_shexp.weight", "n_ff_shared", "n_embd"
    ),
    layer_rule("input_layernorm.weight", "attn_norm.weight", "n_embd"),
    layer_rule("post_attention_layernorm.weight", "ffn_norm.weight", "n_embd"),
    layer_rule(
        "self_attn.q_proj.weight",
        "attn_q.weight",
        "n_queries",
        "n_embd",
        layers=_layers_with_plain_query,
    ),
    layer_rule(
        "self_attn.q_a_proj.weight",
        "attn_q_a.weight",
        "q_lora_rank",
        "n_embd",
        layers=_layers_with_folded_query,
    ),
    layer_rule(
        "self_attn.q_a_layernorm.weight",
        "attn_q_a_norm.weight",
        "q_lora_rank",
        layers=_layers_with_folded_query,
    ),
    layer_rule(
        "self_attn.q_b_proj.weight",
        "attn_q_b.weight",
        "n_queries",
        "q_lora_rank",
        layers=_layers_with_folded_query,
    ),
    layer_rule("self_attn.kv_a_proj_with_mqa.weight", "attn_kv_a_mqa.weight", "n_latent", "n_embd"),
    layer_rule("self_attn.kv_a_layernorm.weight", "attn_kv_a_norm.weight", "kv_lora_rank"),
    layer_rule(
        "self_attn.kv_b_proj.weight",
        "attn_k_b.weight",
        "n_unfolded",
        "kv_lora_rank",
        arrange=_keys,
        into=(_HEADS, "kv_lora_rank", "qk_nope_head_dim"),
    ),
    layer_rule(
        "self_attn.kv_b_proj.weight",
        "attn_v_b.weight",
        "n_unfolded",
        "kv_lora_rank",
        arrange=_values,
        into=(_HEADS, "v_head_dim", "kv_lora_rank"),
    ),
    layer_rule("self_attn.o_proj.weight", "attn_output.weight", "n_embd", "n_values"),
)


def _add_parameters(key_values: KeyValues, prefix: str, parameters: Hyperparameters) -> None:
    values, size = parameters.values, parameters.size
    n_key, n_rotary = size("qk_nope_head_dim"), size("qk_rope_head_dim")
    key_values.uint(f"{prefix}.leading_dense_block_count", _n_dense(parameters))
    key_values.uint(f"{prefix}.vocab_size", parameters.n_vocab)
    if "q_lora_rank" in values:
        key_values.uint(f"{prefix}.attention.q_lora_rank", size("q_lora_rank"))
    key_values.uint(f"{prefix}.attention.kv_lora_rank", size("kv_lora_rank"))
    # of the one head that all attend to
    key_values.uint(f"{prefix}.attention.key_length", size("kv_lora_rank") + n_rotary)
    key_values.uint(f"{prefix}.attention.value_length", size("kv_lora_rank"))
    key_values.uint(f"{prefix}.attention.key_length_mla", n_key + n_rotary)
    key_values.uint(f"{prefix}.attention.value_length_mla", size("v_head_dim"))
    key_values.uint(f"{prefix}.expert_feed_forward_length", size("moe_intermediate_size"))
    key_values.uint(f"{prefix}.expert_shared_count", size("n_shared_experts"))
    key_values.real(f"{prefix}.expert_weights_scale", parameters.number("routed_scaling_factor"))
    if values.get("norm_topk_prob") is True:
        key_values.flag(f"{prefix}.expert_weights_norm", True)
    key_values.uint(f"{prefix}.rope.dimension_count", n_rotary)
    if "mscale_all_dim" in parameters.rope.options:
        multiplier = 0.1 * parameters.rope.options["mscale_all_dim"]
        key_values.real(f"{prefix}.rope.scaling.yarn_log_multiplier", multiplier)


def _notices(parameters: Hyperparameters) -> Iterable[str]:
    if parameters.values.get("topk_method") == "group_limited_greedy":
        yield (
            "llama.cpp ranks groups of experts by their two best, this model by the best one: "
            "some tokens see other experts"
        )


ARCHITECTURE = Architecture(
    name="deepseek2",
    rules=RULES,
    defaults={
        "first_k_dense_replace": 0,
        "kv_lora_rank": 512,
        "max_position_embeddings": 2048,
        "moe_intermediate_size": 1407,
        "n_routed_experts": 64,
        "n_shared_experts": 2,
        "qk_nope_head_dim": 128,
        "qk_rope_head_dim": 64,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "routed_scaling_factor": 1.0,
        "v_head_dim": 128,
    },
    states_head_dim=True,
    add_parameters=_add_parameters,
    adapt=_adapt,
    notices=_notices,
)
