"""Owns the part of a compute graph that is a plain feed-forward network, gated or not.

Mirrors `llm_graph_context::build_ffn` (src/llama-graph.cpp) of llama.cpp at the pinned version.
"""

from __future__ import annotations

from localr1.plan.graph import Tensor
from localr1.plan.graph_nodes import gated, overwrite, projected, view
from localr1.plan.layer_tensors import LayerTensors


def dense_network(layer: LayerTensors, states: Tensor, n_ff: int, *, in_one_step: bool) -> Tensor:
    """What the network makes of `states`; `in_one_step` is about the gate."""
    n_embd, n_tokens = states.dims
    n_up = layer.get("ffn_up.weight", (0, n_ff))[1]
    up = projected(states, n_up, n_tokens, weight=layer.weight("ffn_up.weight"))
    if n_up == 2 * n_ff:  # gate and up are one matrix
        active = _halves_gated(up, in_one_step=in_one_step)
    elif "ffn_gate.weight" in layer:
        gate = projected(states, n_ff, n_tokens, weight=layer.weight("ffn_gate.weight"))
        active = gated(gate, up, in_one_step=in_one_step)
    else:
        active = overwrite(up)
    return projected(active, n_embd, n_tokens, weight=layer.weight("ffn_down.weight"))


def _halves_gated(both: Tensor, *, in_one_step: bool) -> Tensor:
    half = (both.dims[0] // 2, both.dims[1])
    if in_one_step:
        return Tensor(half, sources=(both,))
    gate, up = (Tensor(half, sources=(view(both, *half),)) for _ in range(2))
    return gated(gate, up, in_one_step=False)
