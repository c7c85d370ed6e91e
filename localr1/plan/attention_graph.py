"""Owns the part of a compute graph in which heads attend to cached keys and values.

Mirrors `build_qkv`, `build_attn` and `build_attn_mha` (src/llama-graph.cpp) of llama.cpp at the
pinned version, and `cpy_k` and `cpy_v` (src/llama-kv-cache.cpp). What a layer has is read from its
tensors: biases, norms of heads, one matrix for all three, a gate beside the queries.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from backends.cache_types import CACHE_TYPES, CacheType
from localr1.model_facts.card import ModelCard
from localr1.plan.graph import (
    ALL_CELLS,
    F16,
    F32,
    I32,
    I64,
    WINDOWED_CELLS,
    Attended,
    Graph,
    Tensor,
)
from localr1.plan.graph_nodes import copied, normed, overwrite, projected, scaled, view
from localr1.plan.graph_shape import GraphShape
from localr1.plan.latent_attention import (
    LatentCache,
    is_latent,
    is_unfolded,
    latent_attention,
    latent_query,
    unfolded_keys_and_values,
)
from localr1.plan.layer_tensors import LayerTensors

_PERIOD_WITHOUT_POSITIONS = {"granitehybrid": 1, "nemotron_h": 1, "smollm3": 4}
"""One layer in so many has no rotary embedding. Source: src/models/smollm3.cpp and others."""

_POSITIONS_PER_TOKEN = {"qwen35": 4, "qwen35moe": 4}
"""In text, height, width and time. Source: `llama_model_rope_type` (src/llama-model.cpp)."""


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
        n_positions = _POSITIONS_PER_TOKEN.get(card.arch, 1) * shape.n_tokens
        self._positions = Tensor((n_positions,), I32)
        self._full = self._inputs(ALL_CELLS)
        self._windowed = self._inputs(WINDOWED_CELLS)

    def latent(self, i_layer: int, states: Tensor) -> Tensor:
        """What a layer whose attention is latent makes of `states`."""
        type_k = self._shape.type_k
        n_latent = self._layers[i_layer]["attn_k_b.weight"][1]
        # values are a part of the keys, but are looked at, and copied, apart from them
        keys, values = (
            self._cache(i_layer, self._card.head_dim_k[i_layer], type_k) for _ in range(2)
        )
        attended = self._attended(i_layer) if self._shape.flash_attn else None
        if attended is None or not values.is_external:
            seen = self._attended_type(type_k)
            item_bytes = seen.block_bytes / seen.block_elements
            values = Tensor((ALL_CELLS, n_latent), item_bytes, values.sources or (values,))
        return latent_attention(
            self._graph,
            self._layers[i_layer],
            states,
            positions=self._positions,
            mask=self._full.mask,
            k_index=self._full.k_index,
            cache=LatentCache(keys, values, attended),
        )

    def mixed(self, i_layer: int, states: Tensor) -> Tensor:
        """What the layer's attention makes of `states`."""
        return self.joined(i_layer, self.by_heads(i_layer, states))

    def joined(self, i_layer: int, mixed: Tensor) -> Tensor:
        """What all heads together make of what each has found."""
        layer = self._layers[i_layer]
        output = layer.weight("attn_output.weight")
        result = projected(mixed, self._card.n_embd, self._shape.n_tokens, weight=output)
        return scaled(result) if "attn_output.bias" in layer else result

    def by_heads(self, i_layer: int, states: Tensor) -> Tensor:
        """What the heads have found, side by side, before they are joined."""
        card, layer = self._card, self._layers[i_layer]
        inputs = self._windowed if card.is_swa[i_layer] else self._full
        query, gate = self._query(i_layer, states)
        if card.has_kv[i_layer]:
            query = self._remember(i_layer, states, query, inputs)
        else:
            query = _rotated(query, inputs.k_rotation)
            self._graph.expand(query)
        mixed = self._looked_up(i_layer, query, inputs)
        self._graph.expand(mixed)
        mixed = _rotated(mixed, inputs.v_rotation)
        if gate is not None:
            return overwrite(mixed, overwrite(copied(view(gate, *mixed.dims))))
        if "attn_gate.weight" in layer:
            gate = projected(states, *mixed.dims, weight=layer.weight("attn_gate.weight"))
            return overwrite(mixed, overwrite(gate))
        return mixed

    def _remember(self, i_layer: int, states: Tensor, query: Tensor, inputs: _Inputs) -> Tensor:
        """Store keys and values of the batch; the query as it meets them."""
        card, layer = self._card, self._layers[i_layer]
        is_strided = "attn_qkv.weight" in layer
        if is_unfolded(layer):
            heads = (card.head_dim_k[i_layer], card.head_dim_v[i_layer], card.n_head[i_layer])
            key, value = unfolded_keys_and_values(layer, states, heads, self._positions)
        else:
            key, value = self._key(i_layer, states, query), self._value(i_layer, states, query)
        query, key = _rotated(query, inputs.k_rotation), _rotated(key, inputs.k_rotation)
        if inputs.v_rotation is not None:
            value = _rotated(copied(value) if is_strided else value, inputs.v_rotation)
        order = (query, key, value) if card.n_swa else (query, value, key)
        for tensor in order:
            self._graph.expand(tensor)
        self._graph.expand(_stored(key, inputs.k_index))
        # without flash attention single numbers are stored, which must lie side by side
        has_gaps = is_strided and not self._shape.flash_attn and value.view_of is not None
        self._graph.expand(_stored(copied(value) if has_gaps else value, inputs.v_index))
        return query

    def _looked_up(self, i_layer: int, query: Tensor, inputs: _Inputs) -> Tensor:
        card, shape, layer = self._card, self._shape, self._layers[i_layer]
        n_tokens, n_head = shape.n_tokens, card.n_head[i_layer]
        dim_k, dim_v = card.head_dim_k[i_layer], card.head_dim_v[i_layer]
        cells = inputs.mask.dims[0]
        looked_up = view(query, dim_k, n_tokens, n_head)
        heads = (dim_v, n_head, n_tokens)
        keys = self._cache(i_layer, dim_k, shape.type_k)
        values = self._cache(i_layer, dim_v, shape.type_v)
        if shape.flash_attn:
            sources = (looked_up, keys, values, inputs.mask)
            mixed = Tensor(heads, sources=sources, attended=self._attended(i_layer))
            return view(mixed, dim_v * n_head, n_tokens)
        scores = projected(looked_up, cells, n_tokens, n_head, weight=keys)
        names = ("attn_sinks.weight",) if "attn_sinks.weight" in layer else ()
        scores = overwrite(scores, inputs.mask, *(layer.weight(name) for name in names))
        mixed = Tensor((dim_v, n_tokens, n_head), sources=(values, scores))
        mixed = view(mixed, *heads)
        return Tensor((dim_v * n_head, n_tokens), sources=(mixed,))

    def _cache(self, i_layer: int, head_dim: int, of: CacheType) -> Tensor:
        """The cached keys or values of a layer, as they are copied where they do not lie."""
        width = self._card.n_head_kv[i_layer] * head_dim // of.block_elements
        dims = (self._cells(i_layer), width * self._shape.n_rows)
        cached = Tensor(dims, of.block_bytes, is_external=True)
        return cached if self._attended_type(of) is of else Tensor(dims, F16, (cached,))

    def _attended_type(self, of: CacheType) -> CacheType:
        """Flash attention takes no float32: all that is cached is halved first, layer by layer."""
        return CACHE_TYPES["f16"] if of.name == "f32" and self._shape.flash_attn else of

    def _cells(self, i_layer: int) -> int:
        return WINDOWED_CELLS if self._card.is_swa[i_layer] else ALL_CELLS

    def _attended(self, i_layer: int) -> Attended:
        card, shape, layer = self._card, self._shape, self._layers[i_layer]
        shares = is_latent(layer)  # values are a part of the keys
        return Attended(
            cells=self._cells(i_layer),
            n_rows=shape.n_rows,
            n_tokens=shape.n_tokens,
            n_head=card.n_head[i_layer],
            n_head_kv=card.n_head_kv[i_layer],
            dim_k=card.head_dim_k[i_layer],
            dim_v=layer["attn_k_b.weight"][1] if shares else card.head_dim_v[i_layer],
            type_k=self._attended_type(shape.type_k),
            type_v=self._attended_type(shape.type_k if shares else shape.type_v),
            values_are_keys=shares,
        )

    def _inputs(self, cells: int) -> _Inputs:
        card, shape = self._card, self._shape
        v_width = max(n * dim for n, dim in zip(card.n_head_kv, card.head_dim_v, strict=True))
        v_items = 1 if shape.flash_attn else v_width  # without flash attention V lies transposed
        mask = Tensor((cells, shape.n_tokens), F16 if shape.flash_attn else F32)
        if shape.casts_masks:
            mask = Tensor(mask.dims, F16, sources=(Tensor(mask.dims, F32),))
        return _Inputs(
            mask=mask,
            k_index=Tensor((shape.n_tokens,), I64),
            v_index=Tensor((shape.n_tokens * v_items,), I64),
            k_rotation=_rotation(_largest_power(card.head_dim_k[0])) if shape.rotates_k else None,
            v_rotation=_rotation(64) if shape.rotates_v else None,
        )

    def _query(self, i_layer: int, states: Tensor) -> tuple[Tensor, Tensor | None]:
        """Queries, and the matrix in which a gate lies beside them, if one does."""
        card, layer = self._card, self._layers[i_layer]
        heads = (card.head_dim_k[i_layer], card.n_head[i_layer])
        gate = None
        if "attn_qkv.weight" in layer:
            n_kv = card.n_head_kv[i_layer]
            n_fused = math.prod(heads) + n_kv * (heads[0] + card.head_dim_v[i_layer])
            flat = self._biased(i_layer, "attn_qkv", states, n_fused)
        elif is_unfolded(layer):
            flat = latent_query(layer, states, math.prod(heads))
        else:
            # without a tensor of that name, as in tests, only the sizes are known
            width = layer.get("attn_q.weight", (0, math.prod(heads)))[1]
            flat = self._biased(i_layer, "attn_q", states, width)
            gate = flat if flat.dims[0] == 2 * math.prod(heads) else None
        return self._placed(i_layer, self._normed_heads(i_layer, "attn_q", flat, heads)), gate

    def _key(self, i_layer: int, states: Tensor, query: Tensor) -> Tensor:
        heads = (self._card.head_dim_k[i_layer], self._card.n_head_kv[i_layer])
        flat = self._fused_or_own(i_layer, "attn_k", states, query, heads)
        return self._placed(i_layer, self._normed_heads(i_layer, "attn_k", flat, heads))

    def _value(self, i_layer: int, states: Tensor, query: Tensor) -> Tensor:
        heads = (self._card.head_dim_v[i_layer], self._card.n_head_kv[i_layer])
        flat = self._fused_or_own(i_layer, "attn_v", states, query, heads)
        return view(flat, *heads, states.dims[1])

    def _fused_or_own(
        self, i_layer: int, name: str, states: Tensor, query: Tensor, heads: tuple[int, int]
    ) -> Tensor:
        if "attn_qkv.weight" not in self._layers[i_layer]:
            return self._biased(i_layer, name, states, math.prod(heads))
        fused = query
        while fused.view_of is None:
            fused = fused.sources[0]
        return fused.view_of

    def _placed(self, i_layer: int, tensor: Tensor) -> Tensor:
        """Queries or keys with their positions in them."""
        period = _PERIOD_WITHOUT_POSITIONS.get(self._card.arch)
        if period is not None and (i_layer + 1) % period == 0:
            return tensor
        return overwrite(tensor, self._positions)

    def _normed_heads(
        self, i_layer: int, name: str, flat: Tensor, heads: tuple[int, int]
    ) -> Tensor:
        """Queries or keys, normed over each head or, where the weight is that long, over all."""
        weight = self._layers[i_layer].get(f"{name}_norm.weight")
        if weight is not None and weight[0] != heads[0]:
            return view(normed(flat), *heads, flat.dims[1])
        split = view(flat, *heads, flat.dims[1])
        return split if weight is None else normed(split)

    def _biased(self, i_layer: int, name: str, states: Tensor, width: int) -> Tensor:
        layer = self._layers[i_layer]
        flat = projected(states, width, states.dims[1], weight=layer.weight(f"{name}.weight"))
        return scaled(flat) if f"{name}.bias" in layer else flat


def _rotation(n: int) -> Tensor:
    return Tensor((n, n))


def _rotated(tensor: Tensor, rotation: Tensor | None) -> Tensor:
    if rotation is None:
        return tensor
    n = rotation.dims[0]
    flat = view(tensor, n, math.prod(tensor.dims) // n)
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
