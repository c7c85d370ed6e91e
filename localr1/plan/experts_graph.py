"""Owns the part of a compute graph in which a few of many experts work on each token.

Mirrors `llm_graph_context::build_moe_ffn` (src/llama-graph.cpp) of llama.cpp at the pinned version,
and the experts that all tokens share as in src/models/qwen2moe.cpp and deepseek2.cpp. Which biases,
fused matrices and shared experts there are is read from the tensors of the layer.
"""

from __future__ import annotations

import math

from localr1.model_facts.experts import Experts, Gating
from localr1.plan.graph import I32, Graph, Tensor
from localr1.plan.graph_nodes import overwrite, projected, scaled, view
from localr1.plan.layer_tensors import LayerTensors


def has_experts(layer: LayerTensors) -> bool:
    """Whether the layer's feed-forward network is made of experts."""
    return "ffn_down_exps.weight" in layer


def expert_network(graph: Graph, layer: LayerTensors, experts: Experts, states: Tensor) -> Tensor:
    """The sum of what the chosen experts, and those that all tokens share, make of `states`."""
    chosen, weights = _chosen(graph, layer, experts, states)
    result = _weighted_sum(graph, layer, chosen, weights, states)
    if "ffn_up_shexp.weight" in layer:
        result = overwrite(result, _shared(layer, states))
    return result


def _chosen(
    graph: Graph, layer: LayerTensors, experts: Experts, states: Tensor
) -> tuple[Tensor, Tensor]:
    """Which experts see each token, and how much each counts."""
    n_tokens = states.dims[1]
    gate = layer.weight("ffn_gate_inp.weight")
    logits = projected(states, experts.n_expert, n_tokens, weight=gate)
    if "ffn_gate_inp.bias" in layer:
        logits = scaled(logits)
    probs = logits if experts.gating is Gating.SOFTMAX_OF_CHOSEN else overwrite(logits)
    selection = scaled(probs) if "exp_probs_b.bias" in layer else probs
    if experts.n_groups > 1:
        selection = _within_groups(experts, selection)
    chosen = _top(selection, experts.n_used)
    each = view(probs, 1, experts.n_expert, n_tokens)
    weights = Tensor((1, experts.n_used, n_tokens), sources=(each, chosen))
    if experts.gating is Gating.SOFTMAX_OF_CHOSEN:
        weights = view(overwrite(view(weights, experts.n_used, n_tokens)), *weights.dims)
    if experts.is_normalised:
        flat = view(weights, experts.n_used, n_tokens)
        total = overwrite(Tensor((1, n_tokens), sources=(flat,)))  # the sum, then a clamp
        weights = view(overwrite(flat, total), *weights.dims)
    if experts.scale not in {0.0, 1.0}:
        weights = overwrite(weights)
    graph.expand(weights)
    return chosen, weights


def _within_groups(experts: Experts, selection: Tensor) -> Tensor:
    """The scores with all but the best groups of experts struck out."""
    n_tokens, n_groups = selection.dims[1], experts.n_groups
    n_per_group = experts.n_expert // n_groups
    groups = view(selection, n_per_group, n_groups, n_tokens)
    single = view(groups, 1, n_per_group, n_groups, n_tokens)
    best_two = Tensor((1, 2, n_groups, n_tokens), sources=(single, _top(groups, 2)))
    total = Tensor((1, n_groups, n_tokens), sources=(view(best_two, 2, n_groups, n_tokens),))
    kept = _top(view(total, n_groups, n_tokens), experts.n_groups_used)
    scores = Tensor((n_per_group, experts.n_groups_used, n_tokens), sources=(groups, kept))
    struck_out = overwrite(groups)
    # rows are set in a tensor that exists: the result is a view of it
    result = Tensor(groups.dims, sources=(scores, kept, struck_out), view_of=struck_out)
    return view(result, experts.n_expert, n_tokens)


def _top(scores: Tensor, n_best: int) -> Tensor:
    order = Tensor(scores.dims, I32, sources=(scores,))
    return view(order, n_best, *scores.dims[1:])


def _weighted_sum(
    graph: Graph, layer: LayerTensors, chosen: Tensor, weights: Tensor, states: Tensor
) -> Tensor:
    n_embd, n_tokens = states.dims
    n_used = chosen.dims[0]
    n_ff = layer["ffn_down_exps.weight"][0]
    each = view(states, n_embd, 1, n_tokens)
    if "ffn_gate_up_exps.weight" in layer:
        both = _by_experts(layer, "ffn_gate_up_exps", each, chosen, (2 * n_ff, n_used, n_tokens))
        gate, up = (view(both, n_ff, n_used, n_tokens) for _ in range(2))
    else:
        up = _by_experts(layer, "ffn_up_exps", each, chosen, (n_ff, n_used, n_tokens))
        gate = up
        if "ffn_gate_exps.weight" in layer:
            gate = _by_experts(layer, "ffn_gate_exps", each, chosen, (n_ff, n_used, n_tokens))
    active = overwrite(up) if gate is up else Tensor(up.dims, sources=(gate, up))
    down = _by_experts(layer, "ffn_down_exps", active, chosen, (n_embd, n_used, n_tokens))
    down = overwrite(down, weights)
    graph.expand(down)
    parts = [view(down, n_embd, n_tokens) for _ in range(n_used)]
    for part in parts:
        graph.expand(part)
    total = parts[0]
    for part in parts[1:]:
        total = overwrite(total, part)
        graph.expand(total)
    return Tensor(total.dims, sources=(total,)) if n_used == 1 else total


def _by_experts(
    layer: LayerTensors, name: str, states: Tensor, chosen: Tensor, dims: tuple[int, ...]
) -> Tensor:
    result = Tensor(dims, sources=(layer.weight(f"{name}.weight"), states, chosen))
    bias = f"{name}.bias"
    return overwrite(result, layer.weight(bias), chosen) if bias in layer else result


def _shared(layer: LayerTensors, states: Tensor) -> Tensor:
    n_embd, n_tokens = states.dims
    n_ff = math.prod(layer["ffn_up_shexp.weight"]) // n_embd
    up = projected(states, n_ff, n_tokens, weight=layer.weight("ffn_up_shexp.weight"))
    gate = projected(states, n_ff, n_tokens, weight=layer.weight("ffn_gate_shexp.weight"))
    active = Tensor(up.dims, sources=(gate, up))
    down = projected(active, n_embd, n_tokens, weight=layer.weight("ffn_down_shexp.weight"))
    if "ffn_gate_inp_shexp.weight" not in layer:
        return down
    score = projected(states, 1, n_tokens, weight=layer.weight("ffn_gate_inp_shexp.weight"))
    # a sigmoid, written as silu(x) / x
    return overwrite(down, overwrite(overwrite(score), score))
