"""Owns the compute graph of a decoder, as far as its memory goes.

Mirrors what llama.cpp builds at the pinned version: `llm_graph_context::build_inp_embd`,
`build_qkv`, `build_attn`, `build_attn_mha` and `build_ffn` (src/llama-graph.cpp), put together as
in src/models/qwen2.cpp, llama.cpp, gemma3.cpp and openai-moe.cpp. Experts and latent attention have
modules of their own. Norms, biases and activations that write over their input are kept, because
whether they can decides who owns the memory next.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from localr1.model_facts.card import ModelCard
from localr1.plan.experts_graph import expert_network, has_experts
from localr1.plan.graph import F16, F32, I32, I64, Graph, Tensor
from localr1.plan.graph_nodes import WEIGHT, gated, normed, overwrite, projected, view
from localr1.plan.latent_attention import is_latent, latent_attention
from localr1.plan.layer_tensors import layer_tensors

VERIFIED_ARCHITECTURES = frozenset(
    {
        "deepseek2", "gemma2", "gemma3", "gpt-oss", "granite", "llama", "mistral3", "olmo2", "phi3",
        "qwen2", "qwen2moe", "qwen3", "qwen3moe", "smollm3",
    }
)  # fmt: skip
"""Held against llama.cpp's own sizes; others are taken to be built alike."""

_PERIOD_WITHOUT_POSITIONS = {"smollm3": 4}
"""One layer in so many has no rotary embedding. Source: src/models/smollm3.cpp."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphShape:
    """What the request adds to the model: how many tokens, and how far they look back."""

    n_tokens: int
    n_outputs: int
    """Tokens of the batch for which logits are wanted."""
    n_cells: int
    """KV cells of a layer that sees everything."""
    n_cells_swa: int
    flash_attn: bool
    rotates_k: bool
    """Quantised keys are rotated before they are stored (a Hadamard matrix per head)."""
    rotates_v: bool
    gates_in_one_step: bool = True
    """Else an activation and a product, each over its input."""
    casts_masks: bool = False
    """Masks are made in single precision, and flash attention gets a copy in half."""
    k_block: tuple[int, int]
    """Numbers in a block of the cache's K type, and its bytes."""


@dataclass(slots=True)
class _Inputs:
    """Inputs of all layers, or of all layers of one kind (with a sliding window or without)."""

    mask: Tensor
    k_index: Tensor
    v_index: Tensor
    k_rotation: Tensor | None
    v_rotation: Tensor | None


def decoder_graph(
    card: ModelCard,
    shape: GraphShape,
    *,
    has_embedding: bool = True,
    layers: Sequence[int] | None = None,
) -> Graph:
    """The graph of one batch. Without `has_embedding`, as on a GPU that gets the rows copied.

    `layers` stands in for the model's own. Steps: 0 is the input, 1 the first of the layers, and
    the output comes after the last.
    """
    builder = _Builder(card, shape)
    return builder.build(range(card.n_layer) if layers is None else layers, has_embedding)


class _Builder:
    def __init__(self, card: ModelCard, shape: GraphShape) -> None:
        self._card = card
        self._shape = shape
        self._graph = Graph()
        self._layers = layer_tensors(card)
        self._positions = Tensor((shape.n_tokens,), I32)
        self._full = self._attention_inputs(shape.n_cells)
        self._windowed = self._attention_inputs(shape.n_cells_swa)

    def build(self, layers: Sequence[int], has_embedding: bool) -> Graph:  # noqa: FBT001
        card, shape = self._card, self._shape
        states = Tensor((card.n_embd, shape.n_tokens))
        if has_embedding:
            rows = Tensor(states.dims, sources=(WEIGHT, Tensor((shape.n_tokens,), I32)))
            self._graph.expand(rows)
            # llama.cpp keeps room for embeddings given instead of tokens
            self._graph.expand(states)
            states = rows
        if card.arch.startswith("gemma"):
            states = overwrite(states)  # scaled
        out_ids = Tensor((shape.n_outputs,), I32)
        for i, i_layer in enumerate(layers):
            self._graph.step += 1
            states = self._layer(i_layer, states, out_ids if i == len(layers) - 1 else None)
            self._graph.expand(states)
        if card.arch == "gpt-oss":
            states = Tensor((card.n_embd, shape.n_outputs), sources=(states, out_ids))
            self._graph.expand(states)
        self._graph.step += 1
        result = normed(states)
        result.is_output = True
        logits = projected(result, card.n_vocab, shape.n_outputs)
        logits.is_output = True
        self._graph.expand(logits)
        return self._graph

    def _attention_inputs(self, n_cells: int) -> _Inputs:
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

    def _layer(self, i_layer: int, states: Tensor, out_ids: Tensor | None) -> Tensor:
        layer, residual = self._layers[i_layer], states
        mix = self._latent_attention if is_latent(layer) else self._attention
        if self._card.state_numbers[i_layer] and not self._card.has_kv[i_layer]:
            mix = self._recurrence
        current = mix(i_layer, normed(states) if "attn_norm.weight" in layer else states)
        if out_ids is not None and self._card.arch != "gpt-oss":
            current = Tensor((self._card.n_embd, self._shape.n_outputs), sources=(current, out_ids))
            residual = Tensor(current.dims, sources=(residual, out_ids))
        is_post_normed = "post_ffw_norm.weight" in layer
        if is_post_normed:
            current = normed(current)
        residual = overwrite(current, residual)
        # without post-norms, gpt-oss calls the one before the feed-forward network by their name
        has_norm = "ffn_norm.weight" in layer or not is_post_normed
        current = self._feed_forward(i_layer, normed(residual) if has_norm else residual)
        if is_post_normed:
            current = normed(current)
        return overwrite(current, residual)

    def _recurrence(self, i_layer: int, states: Tensor) -> Tensor:
        """An estimate: the widest product of the layer and the state, once more after the step."""
        n_embd, n_tokens = states.dims
        into = [dims for dims in self._layers[i_layer].values() if len(dims) > 1]
        width = max((d[1] for d in into if d[0] == n_embd), default=n_embd)
        inner = projected(states, width, n_tokens)
        state = Tensor((self._card.state_numbers[i_layer],), sources=(inner,))
        stepped = Tensor((width, n_tokens), sources=(inner, state))
        return projected(stepped, n_embd, n_tokens)

    def _latent_attention(self, i_layer: int, states: Tensor) -> Tensor:
        block_items, block_bytes = self._shape.k_block
        n_latent = self._layers[i_layer]["attn_k_b.weight"][1]
        copied = Tensor((self._shape.n_cells // block_items, n_latent), block_bytes, (WEIGHT,))
        return latent_attention(
            self._graph,
            self._layers[i_layer],
            states,
            positions=self._positions,
            mask=self._full.mask,
            k_index=self._full.k_index,
            values=None if self._shape.flash_attn else copied,
        )

    def _attention(self, i_layer: int, states: Tensor) -> Tensor:
        card, shape = self._card, self._shape
        n_tokens, n_head = shape.n_tokens, card.n_head[i_layer]
        dim_k, dim_v = card.head_dim_k[i_layer], card.head_dim_v[i_layer]
        inputs = self._windowed if card.is_swa[i_layer] else self._full
        n_cells = shape.n_cells_swa if card.is_swa[i_layer] else shape.n_cells
        query, key, value = self._query_key_value(i_layer, states)
        if inputs.k_rotation is not None:
            query, key = _rotated(query, inputs.k_rotation), _rotated(key, inputs.k_rotation)
        if inputs.v_rotation is not None:
            value = _rotated(value, inputs.v_rotation)
        order = (query, key, value) if card.n_swa else (query, value, key)
        for tensor in order:
            self._graph.expand(tensor)
        self._graph.expand(_stored(key, inputs.k_index))
        self._graph.expand(_stored(value, inputs.v_index))
        looked_up = view(query, dim_k, n_tokens, n_head)
        heads = (dim_v, n_head, n_tokens)
        if shape.flash_attn:
            mixed = Tensor(heads, sources=(looked_up, WEIGHT, WEIGHT, inputs.mask))
            mixed = view(mixed, dim_v * n_head, n_tokens)
        else:
            scores = projected(looked_up, n_cells, n_tokens, n_head)
            scores = overwrite(scores, inputs.mask)
            mixed = Tensor((dim_v, n_tokens, n_head), sources=(WEIGHT, scores))
            mixed = view(mixed, *heads)
            mixed = Tensor((dim_v * n_head, n_tokens), sources=(mixed,))
        self._graph.expand(mixed)
        if inputs.v_rotation is not None:
            mixed = _rotated(mixed, inputs.v_rotation)
        return projected(mixed, card.n_embd, n_tokens)

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
        flat = projected(states, width, states.dims[1])
        return overwrite(flat, WEIGHT) if f"{name}.bias" in self._layers[i_layer] else flat

    def _feed_forward(self, i_layer: int, states: Tensor) -> Tensor:
        layer, experts = self._layers[i_layer], self._card.experts
        if experts is not None and has_experts(layer):
            return expert_network(self._graph, layer, experts, states)
        n_ff, n_tokens = self._card.n_ff[i_layer], states.dims[1]
        n_up = layer.get("ffn_up.weight", (0, n_ff))[1]
        up = projected(states, n_up, n_tokens)
        if n_up == 2 * n_ff:  # gate and up are one matrix
            active = self._halves_gated(up)
        elif "ffn_gate.weight" in layer:
            gate = projected(states, n_ff, n_tokens)
            active = gated(gate, up, in_one_step=self._shape.gates_in_one_step)
        else:
            active = overwrite(up)
        return projected(active, self._card.n_embd, n_tokens)

    def _halves_gated(self, both: Tensor) -> Tensor:
        half = (both.dims[0] // 2, both.dims[1])
        if self._shape.gates_in_one_step:
            return Tensor(half, sources=(both,))
        gate, up = (Tensor(half, sources=(view(both, *half),)) for _ in range(2))
        return gated(gate, up, in_one_step=False)


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
