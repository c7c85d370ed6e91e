"""Owns the tensors of a model by layer: what a layer is made of is read there, not from names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from localr1.model_facts.card import ModelCard
from localr1.plan.graph import Tensor
from localr1.plan.weights import is_expert_name

_IN_LAYER = re.compile(r"blk\.(\d{1,4})\.(.+)")


class LayerTensors(dict[str, tuple[int, ...]]):
    """Dimensions of a layer's tensors by their names without the layer, as in the file."""

    def __init__(self, n_bytes: Mapping[str, int]) -> None:
        super().__init__()
        self._n_bytes = n_bytes

    def weight(self, name: str) -> Tensor:
        """One of them in a graph. Mixes give a name several types: the largest stands for all."""
        n_bytes = self._n_bytes.get(name, 0)
        is_expert = is_expert_name(name)
        return Tensor((n_bytes,), 1, is_external=True, is_weight=True, is_expert=is_expert)


def layer_tensors(card: ModelCard) -> Sequence[LayerTensors]:
    """The tensors of each layer, by their names within it."""
    n_bytes: dict[str, int] = {}
    layers = [LayerTensors(n_bytes) for _ in range(card.n_layer)]
    for tensor in card.tensors:
        match = _IN_LAYER.fullmatch(tensor.name)
        if match and int(match[1]) < card.n_layer:
            layers[int(match[1])][match[2]] = tensor.dims
            n_bytes[match[2]] = max(n_bytes.get(match[2], 0), tensor.n_bytes)
    return layers


def output_weight(card: ModelCard) -> Tensor:
    """The matrix that makes logits in a graph: the output, or the embedding once more."""
    name = "token_embd.weight" if card.is_tied else "output.weight"
    n_bytes = next((tensor.n_bytes for tensor in card.tensors if tensor.name == name), 0)
    return Tensor((n_bytes,), 1, is_external=True, is_weight=True)
