"""Owns how much longer a long prompt takes than a short one, because its tokens look back. Pure.

The speed of prompts is that of a batch with nothing before it. With n tokens before it, each
attending layer multiplies the query of every head with n keys, and n weights with as many values
(`build_attn_mha` in llama.cpp's src/llama-graph.cpp): two operations for each of their numbers.
"""

from __future__ import annotations

import math

from localr1.model_facts.card import ModelCard
from localr1.plan.weights import is_expert, only_drafts


def slowdown(card: ModelCard, n_tokens: int) -> float:
    """By what a prompt of that length takes longer per token than a short one; at least 1."""
    weights = 2 * n_tokens * _weights_of_a_token(card)
    looks = sum(
        2 * n_head * (dim_k + dim_v) * _looks(n_tokens, card.n_swa if is_swa else n_tokens)
        for n_head, dim_k, dim_v, is_swa, has_kv in zip(
            card.n_head, card.head_dim_k, card.head_dim_v, card.is_swa, card.has_kv, strict=True
        )
        if has_kv
    )
    return 1 + looks / weights if weights else 1.0


def _looks(n_tokens: int, window: int) -> float:
    """How many tokens all tokens of a prompt see, each those before it within the window."""
    within = min(n_tokens, window)
    return within**2 / 2 + (n_tokens - within) * within


def _weights_of_a_token(card: ModelCard) -> float:
    """Weights that take part in one token of a prompt; the output layer reads the last one only."""
    experts = card.experts
    active = experts.n_used / experts.n_expert if experts else 1.0
    return sum(
        math.prod(tensor.dims) * (active if is_expert(tensor) else 1)
        for tensor in card.tensors
        if not tensor.name.startswith(("token_embd.", "output."))
        and not only_drafts(tensor, card.n_layer)
    )
