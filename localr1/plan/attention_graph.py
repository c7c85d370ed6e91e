"""Owns the part of a compute graph in which heads attend to cached keys and values.

Mirrors `build_qkv`, `build_attn` and `build_attn_mha` (src/llama-graph.cpp) of llama.cpp at the
pinned version, and `cpy_k` and `cpy_v` (src/llama-kv-cache.cpp). What a layer has is read from its
tensors: biases, norms of heads, one matrix for all three, a gate beside the queries.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from localr1.model_facts.card import ModelCard
from localr1.plan.graph import F16, F32, I32, I64, Graph, Tensor
from localr1.plan.graph_nodes import normed, overwrite, projected, scaled, view
from localr1.plan.graph_shape import GraphShape
from localr1.plan.latent_attention import latent_attention
from localr1.plan.layer_tensors import LayerTensors

_PERIOD_WITHOUT_POSITIONS = {"smollm3": 4}
"""One layer in so many has no rotary embedding. Source: src/models/smollm3.cpp."""


@dataclass(slots=True)
class _Inputs:
    """Inputs of all layers, or of all layers of one kind (with a sliding window or without)."""

    mask: Tensor
    k_index: Tensor
    v_index: Tensor
    k_rotation: Tensor | None
    v_rotation: Tensor | None


class AttentionGraph:
    """Adds the attention of one layer after the other; all share the inputs."""

    def __init__(
        self, graph: Graph, card: ModelCard, shape: GraphShape, layers: Sequence[LayerTensors]
    ) -> None:
        self._graph = graph
        self._card = card
        self._shape = shape
        self._layers = layers
        self._positions = Tensor((shape.n_tokens,), I32)
        self._full = self._inputs(shape.n_cells)
        self._windowed = self._inputs(shape.n_cells_swa)

    def latent(self, i_layer: int, states: Tensor) -> Tensor:
        """What a layer whose attention is latent makes of `states`."""
        block_items, block_bytes = self._shape.k_block
        n_latent = self._layers[i_layer]["attn_k_b.weight"][1]
        # values are a part of the keys, but are looked at, and copied, apart from them
        keys, values = (
            self._cache(i_layer, self._card.head_dim_k[i_layer], self._shape.k_block)
            for _ in range(2)
        )
        rows = Tensor((self._shape.n_cells // block_items, n_latent), block_bytes, (values,))
        return latent_attention(
            self._graph,
            self._layers[i_layer],
            states,
            positions=self._positions,
            mask=self._full.mask,
            k_index=self._full.k_index,
            keys=keys,
            values=values if self._shape.flash_attn else rows,
        )

    def mixed(self, i_layer: int, states: Tensor) -> Tensor:
        """What the layer's attention makes of `states`."""
        card, shape, layer = self._card, self._shape, self._layers[i_layer]
        n_tokens, n_head = shape.n_tokens, card.n_head[i_layer]
        dim_k, dim_v = card.head_dim_k[i_layer], card.head_dim_v[i_layer]
        inputs = self._windowed if card.is_swa[i_layer] else self._full
        n_cells = shape.n_cells_swa if card.is_swa[i_layer] else shape.n_cells
        query, key, value = self._query_key_value(i_layer, states)
        is_strided = "attn_qkv.weight" in layer
        if inputs.k_rotation is not None:
            query, key = _rotated(query, inputs.k_rotation), _rotated(key, inputs.k_rotation)
        if inputs.v_rotation is not None:
            value = _rotated(_copied(value) if is_strided else value, inputs.v_rotation)
        order = (query, key, value) if card.n_swa else (query, value, key)
        for tensor in order:
            self._graph.expand(tensor)
        self._graph.expand(_stored(key, inputs.k_index))
        # without flash attention single numbers are stored, which must lie side by side
        has_gaps = is_strided and not shape.flash_attn
        self._graph.expand(_stored(_copied(value) if has_gaps else value, inputs.v_index))
        looked_up = view(query, dim_k, n_tokens, n_head)
        heads = (dim_v, n_head, n_tokens)
        keys = self._cache(i_layer, dim_k, shape.k_block)
        values = self._cache(i_layer, dim_v, shape.v_block)
        if shape.flash_attn:
            mixed = Tensor(heads, sources=(looked_up, keys, values, inputs.mask))
            mixed = view(mixed, dim_v * n_head, n_tokens)
        else:
            scores = projected(looked_up, n_cells, n_tokens, n_head, weight=keys)
            names = ("attn_sinks.weight",) if "attn_sinks.weight" in layer else ()
            scores = overwrite(scores, inputs.mask, *(layer.weight(name) for name in names))
            mixed = Tensor((dim_v, n_tokens, n_head), sources=(values, scores))
            mixed = view(mixed, *heads)
            mixed = Tensor((dim_v * n_head, n_tokens), sources=(mixed,))
        self._graph.expand(mixed)
        if inputs.v_rotation is not None:
            mixed = _rotated(mixed, inputs.v_rotation)
        return projected(mixed, card.n_embd, n_tokens, weight=layer.weight("attn_output.weight"))

    def _cache(self, i_layer: int, head_dim: int, block: tuple[int, int]) -> Tensor:
        """The cached keys or values of a layer, as they are copied where they do not lie."""
        shape, (items, n_bytes) = self._shape, block
        n_cells = shape.n_cells_swa if self._card.is_swa[i_layer] else shape.n_cells
        width = self._card.n_head_kv[i_layer] * head_dim // items
        return Tensor((width * n_cells * shape.n_rows,), n_bytes, is_external=True)

    def _inputs(self, n_cells: int) -> _Inputs:
        card, shape = self._card, self._shape
        v_width = max(n * dim for n, dim in zip(card.n_head_kv, card.head_dim_v, strict=True))
        v_items = 1 if shape.flash_attn else v_width  # without flash attention V lies transposed
        mask = Tensor((n_cells, shape.n_tokens), F16 if shape.flash_attn else F32)
        if shape.casts_masks:
            mask = Tensor(mask.dims, F16, sources=(Tensor(mask.dims, F32),))
        return _Inputs(
            mask=mask,
            k_index=Tensor((shape.n_tokens,), I64),
            v_index=Tensor((shape.n_tokens * v_items,), I64),
            k_rotation=_rotation(_largest_power(card.head_dim_k[0])) if shape.rotates_k else None,
            v_rotation=_rotation(64) if shape.rotates_v else None,
        )

    def _query_key_value(self, i_layer: int, states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        card, layer, n_tokens = self._card, self._layers[i_layer], states.dims[1]
        dim_k, dim_v = card.head_dim_k[i_layer], card.head_dim_v[i_layer]
        n_head, n_head_kv = card.n_head[i_layer], card.n_head_kv[i_layer]
        heads = ((dim_k, n_head), (dim_k, n_head_kv), (dim_v, n_head_kv))
        if "attn_qkv.weight" in layer:
            fused = self._biased(i_layer, "attn_qkv", states, sum(map(math.prod, heads)))
            query, key, value = (view(fused, *shape, n_tokens) for shape in heads)
        else:
            query, key = (
                self._normed_heads(i_layer, name, states, shape)
                for name, shape in zip(("attn_q", "attn_k"), heads, strict=False)
            )
            value = self._biased(i_layer, "attn_v", states, dim_v * n_head_kv)
            value = view(value, *heads[2], n_tokens)
        period = _PERIOD_WITHOUT_POSITIONS.get(card.arch)
        if period is None or (i_layer + 1) % period:
            query, key = (overwrite(tensor, self._positions) for tensor in (query, key))
        return query, key, value

    def _normed_heads(
        self, i_layer: int, name: str, states: Tensor, heads: tuple[int, int]
    ) -> Tensor:
        """Queries or keys, normed over each head or, where the weight is that long, over all."""
        flat = self._biased(i_layer, name, states, math.prod(heads))
        weight = self._layers[i_layer].get(f"{name}_norm.weight")
        if weight is not None and weight[0] != heads[0]:
            return view(normed(flat), *heads, states.dims[1])
        split = view(flat, *heads, states.dims[1])
        return split if weight is None else normed(split)

    def _biased(self, i_layer: int, name: str, states: Tensor, width: int) -> Tensor:
        layer = self._layers[i_layer]
        flat = projected(states, width, states.dims[1], weight=layer.weight(f"{name}.weight"))
        return scaled(flat) if f"{name}.bias" in layer else flat


def _copied(tensor: Tensor) -> Tensor:
    """The same numbers side by side, in memory of their own."""
    return Tensor(tensor.dims, tensor.item_bytes, sources=(tensor,))


def _rotation(n: int) -> Tensor:
    return Tensor((n, n))


def _rotated(tensor: Tensor, rotation: Tensor) -> Tensor:
    n = rotation.dims[0]
    flat = view(tensor, n, tensor.n_bytes // tensor.item_bytes // n)
    return view(Tensor(flat.dims, sources=(rotation, flat)), *tensor.dims)


def _stored(tensor: Tensor, index: Tensor) -> Tensor:
    flat = view(tensor, tensor.dims[0] * tensor.dims[1], tensor.dims[2])
    return Tensor(flat.dims, sources=(flat, index), is_external=True)


def _largest_power(head_dim: int) -> int:
    """The largest 64 * 2^k that divides the head, as `build_input_k_rot` chooses it."""
    n = 64
    while head_dim % (2 * n) == 0:
        n *= 2
    return n
