"""Owns the compute graph of a decoder, as far as its memory goes.

Mirrors what llama.cpp builds at the pinned version: `llm_graph_context::build_inp_embd` and
`build_ffn` (src/llama-graph.cpp), put together as in src/models/qwen2.cpp, llama.cpp, gemma3.cpp
and openai-moe.cpp. Attention, recurrent layers and experts have modules of their own. Norms, biases
and activations that write over their input are kept, because whether they can decides who owns the
memory next.
"""

from __future__ import annotations

from collections.abc import Sequence

from localr1.model_facts.card import ModelCard
from localr1.plan.attention_graph import AttentionGraph
from localr1.plan.dense_network import dense_network
from localr1.plan.experts_graph import expert_network, has_experts
from localr1.plan.graph import I32, Graph, Tensor
from localr1.plan.graph_nodes import WEIGHT, normed, overwrite, projected
from localr1.plan.graph_shape import GraphShape
from localr1.plan.latent_attention import is_latent
from localr1.plan.layer_tensors import layer_tensors

VERIFIED_ARCHITECTURES = frozenset(
    {
        "deepseek2", "gemma2", "gemma3", "gpt-oss", "granite", "llama", "mistral3", "olmo2", "phi3",
        "qwen2", "qwen2moe", "qwen3", "qwen3moe", "smollm3",
    }
)  # fmt: skip
"""Held against llama.cpp's own sizes; others are taken to be built alike."""

_RESIDUAL_FIRST = frozenset({"phi3"})
"""These add the network's result to the residual, not the other way round: it is written over."""

_CHOOSES_LATE = frozenset({"gpt-oss"})
"""These drop the tokens without logits after the last layer, and keep its result for drafts."""


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
        self._attention = AttentionGraph(self._graph, card, shape, self._layers)

    def build(self, layers: Sequence[int], has_embedding: bool) -> Graph:  # noqa: FBT001
        card, shape = self._card, self._shape
        chooses_late = card.arch in _CHOOSES_LATE
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
            is_last = i == len(layers) - 1 and not chooses_late
            states = self._layer(i_layer, states, out_ids if is_last else None)
            self._graph.expand(states)
        if chooses_late:
            states.is_output = True
            states = Tensor((card.n_embd, shape.n_outputs), sources=(states, out_ids))
            self._graph.expand(states)
        self._graph.step += 1
        result = normed(states)
        result.is_output = True
        logits = projected(result, card.n_vocab, shape.n_outputs)
        logits.is_output = True
        self._graph.expand(logits)
        return self._graph

    def _layer(self, i_layer: int, states: Tensor, out_ids: Tensor | None) -> Tensor:
        layer, residual = self._layers[i_layer], states
        mix = self._attention.latent if is_latent(layer) else self._attention.mixed
        if self._card.state_numbers[i_layer] and not self._card.has_kv[i_layer]:
            mix = self._recurrence
        current = mix(i_layer, normed(states) if "attn_norm.weight" in layer else states)
        if out_ids is not None:
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
        if self._card.arch in _RESIDUAL_FIRST:
            return overwrite(residual, current)
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

    def _feed_forward(self, i_layer: int, states: Tensor) -> Tensor:
        layer, experts = self._layers[i_layer], self._card.experts
        if experts is not None and has_experts(layer):
            return expert_network(self._graph, layer, experts, states)
        in_one_step = self._shape.gates_in_one_step
        return dense_network(layer, states, self._card.n_ff[i_layer], in_one_step=in_one_step)
