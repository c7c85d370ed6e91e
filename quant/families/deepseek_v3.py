"""Owns DeepSeek V3 and R1: V2 with a bias that spreads tokens over the experts.

The layer that predicts further tokens comes after the others. llama.cpp's converter leaves it out
of this family (conversion/deepseek.py, skip_mtp), and so do we, with a notice.
Defaults: transformers, DeepseekV3Config.
"""

from __future__ import annotations

import re
from dataclasses import replace

from quant.families.architecture import LeftOut
from quant.families.deepseek_v2 import ARCHITECTURE as V2
from quant.families.deepseek_v2 import expert_rule
from quant.families.hyperparameters import Hyperparameters

_LAYER = re.compile(r"model\.layers\.(\d{1,4})\.")


def _adapt(parameters: Hyperparameters) -> Hyperparameters:
    # transformers knows no other, and need not write it; llama.cpp would assume softmax
    values = {"scoring_func": "sigmoid", **parameters.values}
    return V2.adapt(replace(parameters, values=values))


def _predicts_further_tokens(name: str, parameters: Hyperparameters) -> bool:
    match = _LAYER.match(name)
    n_more = parameters.number("num_nextn_predict_layers")
    return match is not None and 0 <= int(match[1]) - parameters.n_layer < n_more


ARCHITECTURE = replace(
    V2,
    rules=(
        *V2.rules,
        expert_rule("mlp.gate.e_score_correction_bias", "exp_probs_b.bias", "n_expert"),
    ),
    defaults={
        **V2.defaults,
        "first_k_dense_replace": 3,
        "max_position_embeddings": 4096,
        "moe_intermediate_size": 2048,
        "n_group": 8,
        "n_routed_experts": 256,
        "n_shared_experts": 1,
        "norm_topk_prob": True,
        "num_experts_per_tok": 8,
        "num_nextn_predict_layers": 1,
        "routed_scaling_factor": 2.5,
        "topk_group": 4,
    },
    adapt=_adapt,
    left_out=(
        LeftOut(
            _predicts_further_tokens,
            "the layer that predicts further tokens is left out ({n} tensors): "
            "llama.cpp's converter does not write it for this family",
        ),
    ),
)
