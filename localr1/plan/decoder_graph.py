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
from localr1.plan.layer_tensors import LayerTensors, output_weight
from localr1.plan.recurrent_graph import RecurrentGraph, is_gated_delta

VERIFIED_ARCHITECTURES = frozenset(
    {
        "deepseek2", "dots1", "ernie4_5-moe", "exaone4", "falcon-h1", "gemma", "gemma2", "gemma3",
        "glm4", "glm4moe", "gpt-oss", "granite", "granitehybrid", "granitemoe", "hunyuan-dense",
        "hunyuan-moe", "lfm2", "lfm2moe", "llama", "mamba", "mamba2", "minimax-m2", "mistral3",
        "nemotron_h", "olmo2", "olmoe", "phi3", "qwen2", "qwen2moe", "qwen3", "qwen35", "qwen35moe",
        "qwen3moe", "qwen3next", "seed_oss", "smollm3",
    }
)  # fmt: skip
"""Held against llama.cpp's own sizes; others are taken to be built alike."""

_ADDS_TO_RESIDUAL = {"phi3": (False, True), "lfm2": (True, True), "lfm2moe": (True, True)}
"""Whether attention's result, and the network's, are added to the residual, which is written over,
and not the other way round."""

_CHOOSES_SUM = frozenset({"falcon-h1"})
"""These drop the tokens without logits after the sum of the last layer's attention."""

_CHOOSES_LATE = frozenset({"gpt-oss"})
"""These drop the tokens without logits after the last layer, and keep its result for drafts."""

_CHOOSES_LAST = frozenset({"nemotron_h", "qwen35", "qwen35moe", "qwen3next"})
"""These do so after the last norm."""


def decoder_graph(
    card: ModelCard,
    shape: GraphShape,
    tensors: Sequence[LayerTensors],
    layers: Sequence[int],
    *,
    has_embedding: bool = True,
) -> Graph:
    """The graph of one batch. Without `has_embedding`, as on a GPU that gets the rows copied.

    `tensors` are those of all layers, `layers` stands in for the model's own. Steps: 0 is the
    input, 1 the first of the layers, and the output comes after the last.
    """
    return _Builder(card, shape, tensors).build(layers, has_embedding)


class _Builder:
    def __init__(self, card: ModelCard, shape: GraphShape, tensors: Sequence[LayerTensors]) -> None:
        self._card = card
        self._shape = shape
        self._graph = Graph()
        self._layers = tensors
        self._attention = AttentionGraph(self._graph, card, shape, self._layers)
        self._recurrent = RecurrentGraph(self._graph, card, shape, self._layers)
        self._pending: list[tuple[int, Tensor]] = []

    def build(self, layers: Sequence[int], has_embedding: bool) -> Graph:  # noqa: FBT001
        card, shape = self._card, self._shape
        chooses_late = card.arch in _CHOOSES_LATE | _CHOOSES_LAST
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
            self._start(i_layer)
            is_last = i == len(layers) - 1 and not chooses_late
            states = self._layer(i_layer, states, out_ids if is_last else None)
            self._pending.append((self._graph.step, states))
        self._finish()
        if card.arch in _CHOOSES_LATE:
            states = self._chosen(states, out_ids)
        self._graph.step += 1
        result = normed(states)
        if card.arch in _CHOOSES_LAST:
            result = self._chosen(result, out_ids)
        result.is_output = True
        logits = projected(result, card.n_vocab, shape.n_outputs, weight=output_weight(card))
        logits.is_output = True
        self._graph.expand(logits)
        return self._graph

    def _start(self, i_layer: int) -> None:
        """Finish the layers before, unless this one is but a network, which waits with them.

        A state is looked up even before that, but by gated delta networks.
        """
        self._graph.step += 1
        if self._recurs(i_layer) and not is_gated_delta(self._layers[i_layer]):
            self._recurrent.recall(i_layer)
        if self._recurs(i_layer) or self._card.has_kv[i_layer]:
            self._finish()

    def _finish(self) -> None:
        """Add the results of layers that nothing has asked for yet."""
        here = self._graph.step
        for step, states in self._pending:
            self._graph.step = step
            self._graph.expand(states)
        self._pending.clear()
        self._graph.step = here

    def _recurs(self, i_layer: int) -> bool:
        """Whether the layer has a state instead of keys and values."""
        return self._card.state_numbers[i_layer] > 0 and not self._card.has_kv[i_layer]

    def _chosen(self, states: Tensor, out_ids: Tensor) -> Tensor:
        """The tokens for which logits are wanted; `states` is kept for drafts."""
        states.is_output = True
        chosen = self._rows(states, out_ids)
        self._graph.expand(chosen)
        return chosen

    def _rows(self, states: Tensor, out_ids: Tensor) -> Tensor:
        return Tensor((self._card.n_embd, self._shape.n_outputs), sources=(states, out_ids))

    def _layer(self, i_layer: int, states: Tensor, out_ids: Tensor | None) -> Tensor:
        layer, residual = self._layers[i_layer], states
        current = self._mixed(i_layer, states)
        chooses_sum = self._card.arch in _CHOOSES_SUM
        if out_ids is not None and not chooses_sum:
            current, residual = (self._rows(each, out_ids) for each in (current, residual))
        is_post_normed = "post_ffw_norm.weight" in layer
        if is_post_normed:
            current = normed(current)
        residual = self._sum(current, residual, is_network=False)
        if out_ids is not None and chooses_sum:
            residual = self._rows(residual, out_ids)
        if not self._has_network_of_its_own(i_layer):
            return residual
        # without post-norms, gpt-oss calls the one before the feed-forward network by their name
        has_norm = "ffn_norm.weight" in layer or not is_post_normed
        current = self._feed_forward(i_layer, normed(residual) if has_norm else residual)
        if is_post_normed:
            current = normed(current)
        return self._sum(current, residual, is_network=True)

    def _mixed(self, i_layer: int, states: Tensor) -> Tensor:
        """What attention, recurrence or both make of a layer's input."""
        layer = self._layers[i_layer]
        normal = normed(states) if "attn_norm.weight" in layer else states
        if self._recurs(i_layer):
            return self._recurrent.mixed(i_layer, normal)
        if self._card.state_numbers[i_layer]:
            heads = self._attention.by_heads(i_layer, normal)
            stepped = self._recurrent.mixed(i_layer, normed(states))
            return overwrite(self._attention.joined(i_layer, heads), stepped)
        if is_latent(layer):
            return self._attention.latent(i_layer, normal)
        if not self._attends(i_layer):  # nothing but a network
            return self._feed_forward(i_layer, normal)
        return self._attention.mixed(i_layer, normal)

    def _attends(self, i_layer: int) -> bool:
        """Whether the layer looks at keys and values, its own or those of a layer before."""
        return self._card.has_kv[i_layer] or "attn_q.weight" in self._layers[i_layer]

    def _has_network_of_its_own(self, i_layer: int) -> bool:
        """Whether the layer is two things, of which the second is a network."""
        layer = self._layers[i_layer]
        mixes = self._recurs(i_layer) or self._attends(i_layer)
        says_so = "attn_output.weight" in layer or "ssm_out.weight" in layer
        return mixes and (not says_so or any(name.startswith("ffn_down") for name in layer))

    def _sum(self, current: Tensor, residual: Tensor, *, is_network: bool) -> Tensor:
        if _ADDS_TO_RESIDUAL.get(self._card.arch, (False, False))[is_network]:
            return overwrite(residual, current)
        return overwrite(current, residual)

    def _feed_forward(self, i_layer: int, states: Tensor) -> Tensor:
        layer, experts = self._layers[i_layer], self._card.experts
        if experts is not None and has_experts(layer):
            return expert_network(self._graph, layer, experts, states)
        in_one_step = self._shape.gates_in_one_step
        return dense_network(layer, states, self._card.n_ff[i_layer], in_one_step=in_one_step)
