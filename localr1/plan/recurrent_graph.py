"""Owns the part of a compute graph in which a layer steps through tokens with a state of its own.

Each kind is told by its tensors: short convolutions (src/models/lfm2.cpp), gated delta networks
(src/models/qwen35.cpp, qwen3next.cpp and delta-net-base.cpp) and Mamba, first and second
(src/models/mamba-base.cpp). Mirrors these files and `llm_graph_context::build_rs`
(src/llama-graph.cpp) of llama.cpp at the pinned version. All sizes follow from tensors.
"""

from __future__ import annotations

from collections.abc import Sequence

from localr1.model_facts.card import ModelCard
from localr1.plan.graph import I32, Graph, Tensor
from localr1.plan.graph_nodes import WEIGHT, copied, normed, overwrite, projected, view
from localr1.plan.graph_shape import GraphShape
from localr1.plan.layer_tensors import LayerTensors


def is_gated_delta(layer: LayerTensors) -> bool:
    """Whether the layer is a gated delta network."""
    return "ssm_beta.weight" in layer or "ssm_ba.weight" in layer


class RecurrentGraph:
    """Adds the recurrence of one layer after the other; all share the input."""

    def __init__(
        self, graph: Graph, card: ModelCard, shape: GraphShape, layers: Sequence[LayerTensors]
    ) -> None:
        self._graph = graph
        self._card = card
        self._layers = layers
        self._n_seqs = shape.n_seqs
        self._rows = Tensor((shape.n_seqs,), I32)
        self._remembered: dict[int, Tensor] = {}

    def recall(self, i_layer: int) -> None:
        """Look up the last inputs of the layer's convolution: some do so before anything else."""
        kernel = self._kernel(i_layer)
        if kernel is not None:
            self._remembered[i_layer] = self._recalled((kernel[0] - 1) * kernel[1])

    def mixed(self, i_layer: int, states: Tensor) -> Tensor:
        """What the layer makes of `states`."""
        layer = self._layers[i_layer]
        if is_gated_delta(layer):
            self._graph.expand(states)
        if i_layer not in self._remembered:
            self.recall(i_layer)
        if "shortconv.conv.weight" in layer:
            return self._short_convolution(i_layer, states)
        if is_gated_delta(layer):
            return self._gated_delta(i_layer, states)
        if "ssm_x.weight" in layer:
            return self._mamba(i_layer, states)
        if "ssm_in.weight" in layer:
            return self._mamba2(i_layer, states)
        return self._unknown(i_layer, states)

    def _short_convolution(self, i_layer: int, states: Tensor) -> Tensor:
        layer, (n_embd, n_tokens) = self._layers[i_layer], states.dims
        three = projected(states, layer["shortconv.in_proj.weight"][1], n_tokens)
        part = (n_embd, n_tokens)
        gated = overwrite(view(three, *part), view(three, *part))
        window = self._window(i_layer, gated)
        convolved = Tensor(part, sources=(window, WEIGHT))
        gated = overwrite(view(three, *part), convolved)
        return projected(gated, n_embd, n_tokens)

    def _gated_delta(self, i_layer: int, states: Tensor) -> Tensor:
        layer, (n_embd, n_tokens) = self._layers[i_layer], states.dims
        kernel = layer["ssm_conv1d.weight"]
        n_heads, n_inner = layer["ssm_dt.bias"][0], layer["ssm_out.weight"][0]
        dim = n_inner // n_heads
        n_groups = (kernel[1] - n_inner) // (2 * dim)
        heads = (dim, n_heads, n_tokens)
        window = self._window(i_layer, projected(states, kernel[1], n_tokens))
        before = self._recalled(self._state_numbers(i_layer, kernel))
        convolved = overwrite(Tensor((kernel[1], n_tokens), sources=(window, WEIGHT)))
        pair = [overwrite(overwrite(view(convolved, dim, n_groups, n_tokens))) for _ in range(2)]
        if "ssm_ba.weight" in layer:  # as old files have it: heads are repeated, not shared
            pair = [view(Tensor(heads, sources=(view(part, *part.dims),)), *heads) for part in pair]
        rates = self._rates(layer, states, n_heads)
        value = view(convolved, *heads)
        n_rows = n_tokens + dim * self._n_seqs
        stepped = Tensor((n_inner, n_rows), sources=(*pair, value, *rates, view(before, dim)))
        self._keep(view(stepped, dim))
        result = normed(view(stepped, *heads))
        gate = overwrite(view(projected(states, n_inner, n_tokens), *heads))
        return projected(view(overwrite(result, gate), n_inner, n_tokens), n_embd, n_tokens)

    def _rates(self, layer: LayerTensors, states: Tensor, n_heads: int) -> tuple[Tensor, Tensor]:
        """How much is forgotten, and how much learned, by each head at each token."""
        n_tokens = states.dims[1]
        if "ssm_ba.weight" in layer:
            both = projected(states, 2 * n_heads, n_tokens)
            forgetting, learning = (copied(view(both, n_heads, n_tokens)) for _ in range(2))
        else:
            forgetting, learning = (
                view(projected(states, n_heads, n_tokens), n_heads, n_tokens) for _ in range(2)
            )
        forgetting = overwrite(overwrite(overwrite(forgetting, WEIGHT)), WEIGHT)
        return view(forgetting, 1, n_heads, n_tokens), overwrite(learning)

    def _mamba2(self, i_layer: int, states: Tensor) -> Tensor:
        layer, (n_embd, n_tokens) = self._layers[i_layer], states.dims
        kernel, n_heads = layer["ssm_conv1d.weight"], layer["ssm_dt.bias"][0]
        n_inner = layer["ssm_out.weight"][0]
        heads = (n_inner // n_heads, n_heads, n_tokens)
        everything = projected(states, layer["ssm_in.weight"][1], n_tokens)
        window = self._window(i_layer, view(everything, kernel[1], n_tokens))
        n_state = self._state_numbers(i_layer, kernel)
        convolved = self._convolved(layer, window, (kernel[1], n_tokens))
        value, n_shared = view(convolved, *heads), (kernel[1] - n_inner) // 2
        steps = overwrite(copied(view(everything, n_heads, n_tokens)), WEIGHT)
        shared = (view(convolved, n_shared, n_tokens) for _ in range(2))
        n_numbers = n_inner * n_tokens + n_state * self._n_seqs
        scanned = Tensor((n_numbers,), sources=(value, steps, WEIGHT, *shared, self._rows))
        self._keep(view(scanned, n_state))
        gate = copied(view(everything, *heads))
        result = overwrite(view(scanned, *heads), overwrite(value, WEIGHT))
        result = Tensor(heads, sources=(gate, result))
        if "ssm_norm.weight" in layer:
            result = normed(view(result, *heads))
        return projected(view(result, n_inner, n_tokens), n_embd, n_tokens)

    def _mamba(self, i_layer: int, states: Tensor) -> Tensor:
        layer, (n_embd, n_tokens) = self._layers[i_layer], states.dims
        kernel, n_steps = layer["ssm_conv1d.weight"], layer["ssm_dt.weight"][0]
        n_inner = kernel[1]
        both = projected(states, 2 * n_inner, n_tokens)
        window = self._window(i_layer, view(both, n_inner, n_tokens))
        n_state = self._state_numbers(i_layer, kernel)
        value = self._convolved(layer, window, (n_inner, n_tokens))
        chosen = projected(value, layer["ssm_x.weight"][1], n_tokens)
        steps = projected(copied(view(chosen, n_steps, n_tokens)), n_inner, n_tokens)
        steps = overwrite(steps, WEIGHT)
        shared = (view(chosen, n_state // n_inner, n_tokens) for _ in range(2))
        n_numbers = n_inner * n_tokens + n_state * self._n_seqs
        apart = view(value, 1, n_inner, n_tokens)
        scanned = Tensor((n_numbers,), sources=(apart, steps, WEIGHT, *shared, self._rows))
        self._keep(view(scanned, n_state))
        gate = copied(view(both, n_inner, n_tokens))
        whole = (n_inner, n_tokens)
        result = overwrite(view(scanned, *whole), overwrite(value, WEIGHT))
        return projected(Tensor(whole, sources=(gate, result)), n_embd, n_tokens)

    def _unknown(self, i_layer: int, states: Tensor) -> Tensor:
        """An estimate: the widest product of the layer and the state, once more after the step."""
        n_embd, n_tokens = states.dims
        into = [dims for dims in self._layers[i_layer].values() if len(dims) > 1]
        width = max((d[1] for d in into if d[0] == n_embd), default=n_embd)
        inner = projected(states, width, n_tokens)
        state = Tensor((self._card.state_numbers[i_layer],), sources=(inner,))
        stepped = Tensor((width, n_tokens), sources=(inner, state))
        return projected(stepped, n_embd, n_tokens)

    def _convolved(self, layer: LayerTensors, window: Tensor, dims: tuple[int, int]) -> Tensor:
        result = Tensor(dims, sources=(window, WEIGHT))
        if "ssm_conv1d.bias" in layer:
            result = overwrite(result, WEIGHT)
        return overwrite(result)

    def _kernel(self, i_layer: int) -> tuple[int, ...] | None:
        """How far the layer's convolution reaches, and over how many channels."""
        layer = self._layers[i_layer]
        return layer.get("ssm_conv1d.weight", layer.get("shortconv.conv.weight"))

    def _recalled(self, n_numbers: int) -> Tensor:
        """What is remembered of each sequence."""
        state = Tensor((n_numbers, self._n_seqs), sources=(WEIGHT, self._rows))
        self._graph.expand(state)
        return state

    def _keep(self, state: Tensor) -> None:
        self._graph.expand(Tensor(state.dims, sources=(state,), is_external=True))

    def _window(self, i_layer: int, states: Tensor) -> Tensor:
        """What is convolved: the last inputs before the batch, and the batch; its end is kept."""
        remembered = self._remembered.pop(i_layer)
        n_channels = states.dims[0]
        n_before = remembered.dims[0] // n_channels
        n_tokens = states.dims[1] + n_before * self._n_seqs
        parts = (view(remembered, n_before, n_channels), view(states, *states.dims))
        window = Tensor((n_tokens, n_channels), sources=parts)
        self._keep(view(window, n_before, n_channels))
        return window

    def _state_numbers(self, i_layer: int, kernel: tuple[int, ...]) -> int:
        return self._card.state_numbers[i_layer] - (kernel[0] - 1) * kernel[1]
