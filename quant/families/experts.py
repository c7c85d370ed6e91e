"""Owns what mixtures of experts have in common: their tensor rules, and configs we must refuse."""

from __future__ import annotations

from quant.errors import UnsupportedError
from quant.families.architecture import TensorRule, layer_rule
from quant.families.hyperparameters import Hyperparameters
from quant.rows import RowSource, picked_rows
from quant.source.safetensors import StoredTensor


def _fused_half(target: str, *, is_upper: bool) -> TensorRule:
    """Gate above up, in one matrix for each expert."""
    size = "moe_intermediate_size"

    def half(stored: StoredTensor, _parameters: Hyperparameters) -> RowSource:
        height = stored.shape[1]
        return picked_rows(
            stored, height, range(height // 2) if is_upper else range(height // 2, height)
        )

    return layer_rule(
        "mlp.experts.gate_up_proj",
        target,
        "n_expert",
        f"2 {size}",
        "n_embd",
        arrange=half,
        into=("n_expert", size, "n_embd"),
    )


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
    layer_rule(
        "mlp.experts.down_proj",
        "ffn_down_exps.weight",
        "n_expert",
        "n_embd",
        "moe_intermediate_size",
    ),
    _fused_half("ffn_gate_exps.weight", is_upper=True),
    _fused_half("ffn_up_exps.weight", is_upper=False),
)
"""Router and experts of Qwen's mixtures, in the order of llama.cpp's converter.

Published are separate experts; transformers can also save them as it holds them, fused.
"""


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
