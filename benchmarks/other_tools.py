"""Owns what other tools would say of a model, from what their sources say (August 2026)."""

from __future__ import annotations

from localr1.model_facts.card import ModelCard
from localr1.plan.kv_cache import kv_bytes_per_layer
from localr1.plan.request import PlanRequest
from localr1.units import GIB, MIB


def formulas(card: ModelCard, n_ctx: int, file_bytes: int) -> dict[str, float]:
    """Bytes on a device that holds the whole model, by the name of the formula."""
    f16_kv_bytes = sum(kv_bytes_per_layer(card, PlanRequest(n_ctx=n_ctx), n_ctx))
    head_dim = card.n_embd // max(*card.n_head, 1)
    n_params_b = card.n_params / 1e9
    return {
        "Ollama, admission test": file_bytes
        + 2 * card.n_layer * min(card.n_head_kv) * head_dim * n_ctx * 2,
        "file + f16 KV + 512 MiB": file_bytes + f16_kv_bytes + 512 * MIB,
        "KoboldCpp of 2024": _koboldcpp(card, n_ctx, file_bytes),
        "file x 1.2": file_bytes * 1.2,
        "whichllm": file_bytes
        + (3.5 * MIB * n_params_b * n_ctx / 1024)
        + (0.4 + 0.08 * n_params_b + 0.15 * n_ctx / 4096 + 0.5) * 1e9,
    }


def _koboldcpp(card: ModelCard, n_ctx: int, file_bytes: int) -> float:
    factor = 1.0 if n_ctx <= 2048 else (1.1 if n_ctx <= 4096 else 1.2)
    head_dim = card.n_embd // max(*card.n_head, 1)
    by_shape = (
        file_bytes
        + card.n_layer * max(card.n_head_kv) * head_dim * n_ctx * 4.4
        + card.n_layer * head_dim * n_ctx * 24
    )
    return min(file_bytes * factor * 1.55, by_shape) + 1.5 * GIB
