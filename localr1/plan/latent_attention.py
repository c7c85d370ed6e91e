"""Owns the part of a compute graph that attends through a latent vector (DeepSeek).

One row per token is cached, shared by all heads; queries are taken into its space, and what comes
out is taken back per head. In old files it is unfolded into heads before these are cached. Mirrors
src/models/deepseek2.cpp (`is_mla` and not) and `llm_graph_context::build_attn_mha` of llama.cpp at
the pinned version. Sizes come from tensors.
"""

from __future__ import annotations

from dataclasses import dataclass

from localr1.plan.graph import Attended, Graph, Tensor
from localr1.plan.graph_nodes import copied, normed, overwrite, projected, view
from localr1.plan.layer_tensors import LayerTensors


def is_latent(layer: LayerTensors) -> bool:
    """Whether the layer attends through a latent vector without unfolding it."""
    return "attn_k_b.weight" in layer


def is_unfolded(layer: LayerTensors) -> bool:
    """Whether keys and values of every head are made from it first, as in old files."""
    return "attn_kv_b.weight" in layer


@dataclass(frozen=True, slots=True)
class LatentCache:
    """What a layer has cached of all tokens, one row each."""

    keys: Tensor
    values: Tensor
    """A part of the keys, or a copy of it: transposed, as it is made without flash attention."""
    attended: Attended | None
    """None without flash attention."""


def latent_attention(
    graph: Graph,
    layer: LayerTensors,
    states: Tensor,
    *,
    positions: Tensor,
    mask: Tensor,
    k_index: Tensor,
    cache: LatentCache,
) -> Tensor:
    """What the layer's attention makes of `states`."""
    n_embd, n_tokens = states.dims
    n_nope, n_latent, n_head = layer["attn_k_b.weight"]
    n_rope = layer["attn_kv_a_mqa.weight"][1] - n_latent
    query = latent_query(layer, states, (n_nope + n_rope) * n_head)
    query = view(query, n_nope + n_rope, n_head, n_tokens)
    to_latent = layer.weight("attn_kv_a_mqa.weight")
    shared = projected(states, n_latent + n_rope, n_tokens, weight=to_latent)
    latent = view(shared, n_latent, n_tokens)
    k_rope = overwrite(view(shared, n_rope, 1, n_tokens), positions)
    latent = normed(latent)
    q_rope = overwrite(view(query, n_rope, n_head, n_tokens), positions)
    into = layer.weight("attn_k_b.weight")
    per_head = view(query, n_nope, n_tokens, n_head)
    absorbed = projected(per_head, n_latent, n_tokens, n_head, weight=into)
    dim = n_latent + n_rope
    query = Tensor(
        (dim, n_head, n_tokens), sources=(view(absorbed, n_latent, n_head, n_tokens), q_rope)
    )
    value = view(latent, n_latent, 1, n_tokens)
    key = Tensor((dim, 1, n_tokens), sources=(value, k_rope))
    for tensor in (query, value, key):
        graph.expand(tensor)
    flat = view(key, dim, n_tokens)
    graph.expand(Tensor(flat.dims, sources=(flat, k_index), is_external=True))
    mixed = _looked_up(layer, view(query, dim, n_tokens, n_head), mask, cache)
    graph.expand(mixed)
    return projected(mixed, n_embd, n_tokens, weight=layer.weight("attn_output.weight"))


def _looked_up(layer: LayerTensors, query: Tensor, mask: Tensor, cache: LatentCache) -> Tensor:
    """What the heads have found, side by side, taken back out of the latent vector's space."""
    _, n_tokens, n_head = query.dims
    _, n_latent, _ = layer["attn_k_b.weight"]
    dim_v, out_of = layer["attn_v_b.weight"][1], layer.weight("attn_v_b.weight")
    if cache.attended is not None:
        sources = (query, cache.keys, cache.values, mask)
        mixed = Tensor((n_latent, n_head, n_tokens), sources=sources, attended=cache.attended)
        mixed = view(mixed, n_latent, n_tokens, n_head)
        mixed = projected(mixed, dim_v, n_tokens, n_head, weight=out_of)
        mixed = view(mixed, dim_v, n_head, n_tokens)
        mixed = Tensor(mixed.dims, sources=(mixed,))
        return view(mixed, dim_v * n_head, n_tokens)
    scores = projected(query, mask.dims[0], n_tokens, n_head, weight=cache.keys)
    scores = overwrite(scores, mask)
    mixed = Tensor((n_latent, n_tokens, n_head), sources=(cache.values, scores))
    mixed = projected(mixed, dim_v, n_tokens, n_head, weight=out_of)
    mixed = view(mixed, dim_v, n_head, n_tokens)
    return Tensor((dim_v * n_head, n_tokens), sources=(mixed,))


def unfolded_keys_and_values(
    layer: LayerTensors, states: Tensor, heads: tuple[int, int, int], positions: Tensor
) -> tuple[Tensor, Tensor]:
    """Keys and values of every head, made from the latent vector; `heads`: two widths, a number."""
    (dim_k, dim_v, n_head), n_tokens = heads, states.dims[1]
    n_latent, n_both = layer["attn_kv_b.weight"]
    n_shared = layer["attn_kv_a_mqa.weight"][1]
    to_latent = layer.weight("attn_kv_a_mqa.weight")
    shared = projected(states, n_shared, n_tokens, weight=to_latent)
    latent = normed(view(shared, n_latent, n_tokens))
    both = projected(latent, n_both, n_tokens, weight=layer.weight("attn_kv_b.weight"))
    value = copied(view(both, dim_v, n_head, n_tokens))
    n_rope = n_shared - n_latent
    placed = overwrite(view(shared, n_rope, 1, n_tokens), positions)
    of_each = Tensor((n_rope, n_head, n_tokens), sources=(placed,))
    plain = view(both, dim_k - n_rope, n_head, n_tokens)
    return Tensor((dim_k, n_head, n_tokens), sources=(plain, of_each)), value


def latent_query(layer: LayerTensors, states: Tensor, width: int) -> Tensor:
    """Queries of all heads side by side, where there is a latent vector."""
    n_tokens = states.dims[1]
    if "attn_q_a.weight" not in layer:
        return projected(states, width, n_tokens, weight=layer.weight("attn_q.weight"))
    n_lora, down = layer["attn_q_a.weight"][1], layer.weight("attn_q_a.weight")
    states = normed(projected(states, n_lora, n_tokens, weight=down))
    return projected(states, width, n_tokens, weight=layer.weight("attn_q_b.weight"))
