"""Owns what mixtures of experts have in common: their tensor rules, and configs we must refuse."""

from __future__ import annotations

from quant.errors import UnsupportedError
from quant.families.architecture import TensorRule, layer_rule
from quant.families.hyperparameters import Hyperparameters

EXPERT_RULES: tuple[TensorRule, ...] = (
    layer_rule("mlp.gate.weight", "ffn_gate_inp.weight", "n_expert", "n_embd"),
    layer_rule(
        "mlp.experts.{xid}.down_proj.weight",
        "ffn_down_exps.weight",
        "n_embd",
        "moe_intermediate_size",
    ),
    layer_rule(
        "mlp.experts.{xid}.gate_proj.weight",
        "ffn_gate_exps.weight",
        "moe_intermediate_size",
        "n_embd",
    ),
    layer_rule(
        "mlp.experts.{xid}.up_proj.weight",
        "ffn_up_exps.weight",
        "moe_intermediate_size",
        "n_embd",
    ),
)
"""Router and experts of Qwen's mixtures, in the order of llama.cpp's converter."""


def require_experts_everywhere(parameters: Hyperparameters) -> None:
    """Refuse layers without experts, which llama.cpp cannot have in Qwen's mixtures."""
    if parameters.values.get("mlp_only_layers") or parameters.size("decoder_sparse_step") != 1:
        raise UnsupportedError(
            "config.json: mlp_only_layers or decoder_sparse_step leave layers without experts, "
            "which llama.cpp does not know"
        )


def require_normalised_weights(parameters: Hyperparameters, *, built_in: bool) -> None:
    """Refuse a weighting of the chosen experts that llama.cpp does not have built in."""
    if bool(parameters.values.get("norm_topk_prob", False)) != built_in:
        raise UnsupportedError(
            f"config.json: norm_topk_prob is not {str(built_in).lower()}, "
            "which is all llama.cpp knows"
        )
