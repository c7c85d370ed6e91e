"""Owns the match between a checkpoint's tensors and an architecture's rules.

The result is a list in the order of llama.cpp's converter. Nothing passes by accident: a tensor no
rule knows, one that is missing, or one of another shape than config.json promises is an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from quant.dtypes import TENSOR_TYPE_OF, Array, Float32Array, to_float32
from quant.errors import CheckpointDamagedError, UnsupportedError
from quant.families.architecture import Architecture, TensorRule
from quant.families.hyperparameters import Hyperparameters
from quant.source.checkpoint import Checkpoint
from quant.source.safetensors import MappedShards, StoredTensor

_BUFFERS = (".attention.masked_bias", ".attention.bias", ".rotary_emb.inv_freq")
"""Endings of tensors that old checkpoints carry and nobody needs."""


@dataclass(frozen=True, slots=True)
class MappedTensor:
    """A tensor of the output and where its values come from."""

    name: str
    shape: tuple[int, ...]
    source: StoredTensor | Float32Array
    n_heads: int = 0
    """Above 0: rows go from half-split to interleaved rotary order within each head."""
    shift: float = 0.0
    """What is added to every value, in float32."""

    @property
    def dtype(self) -> str:
        """The number format of the matrix: the source's, unless something is added."""
        if not isinstance(self.source, StoredTensor) or self.shift:
            return "F32"
        return self.source.dtype

    def matrix(self, shards: MappedShards) -> Array:
        """All values, (rows, columns), not yet reordered; no copy is made unless one is added to.

        Only vectors are added to, so the copy is small.
        """
        if not isinstance(self.source, StoredTensor):
            return self.source.reshape(-1, 1)
        stored = shards.matrix(self.source)
        if not self.shift:
            return stored
        return to_float32(stored, self.source.dtype) + np.float32(self.shift)

    def row_order(self) -> np.ndarray[tuple[int], np.dtype[np.intp]] | None:
        """Source row of each output row, or None if they are the same."""
        if not self.n_heads:
            return None
        rows = np.arange(self.shape[0]).reshape(self.n_heads, 2, -1)
        return rows.swapaxes(1, 2).reshape(-1)


def map_tensors(
    checkpoint: Checkpoint, architecture: Architecture, parameters: Hyperparameters
) -> list[MappedTensor]:
    """Every tensor of the output. Raises: QuantError naming the tensor that does not fit."""
    rules = dict(_expanded(architecture, parameters))
    mapped = [
        MappedTensor(name, values.shape, values)
        for name, values in architecture.made_tensors(parameters).items()
    ]
    for name, stored in checkpoint.tensors.items():
        if name.endswith(_BUFFERS) or name in architecture.unused:
            continue
        if name not in rules:
            raise UnsupportedError(
                f"{stored.path}: tensor {name!r} is no part of a {architecture.name} model "
                f"with {parameters.n_layer} layers"
            )
        target, rule = rules.pop(name)
        mapped.append(_mapped(stored, target, rule, parameters))
    for name, (_, rule) in rules.items():
        is_untied_head = name == "lm_head.weight" and not parameters.has_tied_embeddings
        if rule.is_required or is_untied_head:
            raise CheckpointDamagedError(f"{checkpoint.directory} lacks tensor {name!r}")
    return mapped


def _expanded(
    architecture: Architecture, parameters: Hyperparameters
) -> Iterator[tuple[str, tuple[str, TensorRule]]]:
    for rule in architecture.rules:
        layers = range(parameters.n_layer) if "{bid}" in rule.source else range(1)
        for bid in layers:
            yield rule.source.format(bid=bid), (rule.target.format(bid=bid), rule)


def _mapped(
    stored: StoredTensor, target: str, rule: TensorRule, parameters: Hyperparameters
) -> MappedTensor:
    shape = tuple(parameters.dimension(name) for name in rule.shape)
    if stored.shape != shape:
        raise CheckpointDamagedError(
            f"{stored.path}: tensor {stored.name!r} is {list(stored.shape)}, "
            f"config.json makes it {list(shape)}"
        )
    if stored.dtype not in TENSOR_TYPE_OF:
        raise UnsupportedError(
            f"{stored.path}: tensor {stored.name!r} is {stored.dtype}; "
            f"known are {', '.join(TENSOR_TYPE_OF)}"
        )
    n_heads = {"": 0, "n_head": parameters.n_head, "n_head_kv": parameters.n_head_kv}[rule.heads]
    return MappedTensor(target, shape, stored, n_heads, rule.shift)
