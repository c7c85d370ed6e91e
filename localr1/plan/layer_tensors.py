"""Owns the tensors of a model by layer: what a layer is made of is read there, not from names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from localr1.model_facts.card import ModelCard

LayerTensors = Mapping[str, tuple[int, ...]]
"""Dimensions of a layer's tensors by their names without the layer, as in the file."""

_IN_LAYER = re.compile(r"blk\.(\d{1,4})\.(.+)")


def layer_tensors(card: ModelCard) -> Sequence[LayerTensors]:
    """The tensors of each layer, by their names within it."""
    layers: list[dict[str, tuple[int, ...]]] = [{} for _ in range(card.n_layer)]
    for tensor in card.tensors:
        match = _IN_LAYER.fullmatch(tensor.name)
        if match and int(match[1]) < card.n_layer:
            layers[int(match[1])][match[2]] = tensor.dims
    return layers
