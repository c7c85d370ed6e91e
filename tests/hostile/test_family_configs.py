"""A config that llama.cpp would run wrongly, or that makes no sense, is refused and says why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.checkpoint_families import write_family
from tests.support.checkpoint_refusals import refusal
from tests.support.checkpoint_zoo import change_json

_YARN = {
    "type": "yarn",
    "factor": 40,
    "original_max_position_embeddings": 4096,
    "mscale_all_dim": 0.707,
}
_MINISTRAL = {
    "model_type": "ministral3",
    "head_dim": 32,
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_attention_heads": 4,
    "num_hidden_layers": 3,
    "num_key_value_heads": 2,
    "vocab_size": 1024,
}
_LONG_ROPE = {"type": "longrope", "long_factor": [1.0] * 16, "short_factor": [1.0] * 16}


@pytest.mark.parametrize(
    ("family", "changes", "words"),
    [
        ("smollm3", {"no_rope_layers": [1, 1, 1, 1, 1]}, "no_rope_layers"),
        ("smollm3", {"no_rope_layers": None, "no_rope_layer_interval": 3}, "no_rope_layers"),
        ("granite", {"attention_multiplier": "much"}, "attention_multiplier"),
        ("gemma2", {"query_pre_attn_scalar": 144}, "query_pre_attn_scalar"),
        ("gemma2", {"layer_types": ["full_attention"] * 4}, "sliding window"),
        ("gemma2", {"sliding_window": -1}, "sliding_window"),
        ("gemma3", {"sliding_window_pattern": 4}, "sliding window"),
        ("gemma3", {"attn_logit_softcapping": 50.0}, "attn_logit_softcapping"),
        ("gemma3", {"rope_parameters": {"full_attention": 7}}, "rope_parameters"),
        ("gemma3", {"rope_local_base_freq": "low"}, "rope_theta"),
        ("qwen3", {"rope_scaling": _LONG_ROPE}, "long-rope"),
        ("fused_phi", {"rope_scaling": _LONG_ROPE}, "list of 32 numbers"),
        ("fused_phi", {"rope_scaling": _LONG_ROPE | {"long_factor": [0.0] * 32}}, "holds 0.0"),
        ("fused_phi", {"partial_rotary_factor": 2}, "partial_rotary_factor"),
        ("fused_phi", {"original_max_position_embeddings": 1}, "cannot be stretched"),
        ("fused_phi", {"sliding_window": 0}, "sliding_window"),
        ("qwen3moe", {"mlp_only_layers": [0]}, "layers without experts"),
        ("qwen3moe", {"decoder_sparse_step": 2}, "layers without experts"),
        ("qwen3moe", {"norm_topk_prob": False}, "norm_topk_prob is not true"),
        ("qwen2moe", {"norm_topk_prob": True}, "norm_topk_prob is not false"),
        ("qwen2moe", {"num_experts": 10**9}, "num_experts is 1000000000"),
        ("qwen2moe", {"num_experts": 0}, "how many experts a qwen2moe model has"),
        ("qwen3moe", {"num_experts": -1}, "num_experts"),
        ("gpt_oss", {"swiglu_limit": 6.0}, "swiglu_limit is not 7.0"),
        ("gpt_oss", {"layer_types": ["full_attention"] * 4}, "sliding window"),
        ("gpt_oss", {"sliding_window": 0}, "sliding_window"),
        ("gpt_oss", {"num_local_experts": 5}, "_blocks' is [6, "),
        ("mixtral", {"num_local_experts": "8"}, "num_local_experts"),
        ("mixtral", {"num_experts_per_tok": 9}, "num_experts_per_tok"),
        ("ministral3", {"text_config": _MINISTRAL}, "default rope scaling"),
        ("ministral3", {"text_config": _MINISTRAL | {"rope_scaling": _YARN}}, "llama_4_scaling"),
        ("ministral3", {"text_config": _MINISTRAL | {"model_type": "mistral4"}}, "is mistral4"),
        ("deepseek_lite", {"num_hidden_layers": 28}, "only with 26 or 27 layers"),
        ("deepseek_lite", {"q_lora_rank": 64}, "only with 26 or 27 layers"),
        ("deepseek_lite", {"moe_layer_freq": 2}, "moe_layer_freq"),
        ("deepseek_lite", {"first_k_dense_replace": 28}, "first_k_dense_replace is 28"),
        ("deepseek_lite", {"first_k_dense_replace": 1.5}, "first_k_dense_replace is 1.5"),
        ("deepseek_lite", {"rope_scaling": _YARN | {"mscale": 1.0}}, "mscale is 1.0"),
        ("deepseek_lite", {"rope_scaling": _YARN}, "mscale is 0 and mscale_all_dim 0.707"),
        ("deepseek_v3", {"rope_scaling": _YARN | {"mscale_all_dim": 0}}, "mscale_all_dim 0;"),
        ("deepseek_v3", {"rope_interleave": False}, "rope_interleave"),
        ("deepseek_v3", {"scoring_func": "tanh"}, "scoring_func is 'tanh'"),
        ("deepseek_v3", {"scoring_func": ["sigmoid"]}, "scoring_func is"),
        ("deepseek_v3", {"n_group": 4}, "chosen from 1 of 4 groups"),
        ("deepseek_v3", {"n_group": 6}, "chosen from 1 of 6 groups"),
        ("deepseek_v3", {"topk_group": 2}, "chosen from 2 of 2 groups"),
        ("deepseek_v3", {"num_nextn_predict_layers": 0}, "'model.layers.3."),
        ("deepseek_v3", {"num_nextn_predict_layers": "one"}, "num_nextn_predict_layers"),
        ("deepseek_v3", {"kv_lora_rank": 128}, "attn.kv_a_"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(
    family: str, changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    source = write_family(family, tmp_path)
    change_json(source / "config.json", **changes)

    assert words in refusal(source, tmp_path).message
