"""Owns the way through a model's tensors: which rule of a mix applies to the next one.

Source: src/llama-quant.cpp, llama_tensor_get_type_impl, version 0.3.36 of llama-cpp-python.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

from quant.errors import CheckpointDamagedError
from quant.gguf.types import TensorType
from quant.recipe.mix import Mix, ModelFacts, Place


class Shaped(Protocol):
    """A tensor, as far as the rules look at it."""

    @property
    def name(self) -> str:
        """As in the file."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of a row last; (matrices, rows, columns) for a stack."""


_LAYER = re.compile(r"blk\.(\d+)")
_VALUES = re.compile(r"attn_(qkv|kv_b|v)\.weight")
_EMBEDDINGS = ("token_embd.weight", "per_layer_token_embd.weight")
_EIGHT_BITS_IN_GLM5_NEXT = re.compile(r"attn_q_[ab]|nextn\.eh_proj")


@lru_cache(maxsize=2**14)  # every model and every type asks for the same names again
def layer_of(name: str) -> int:
    """The layer's number, -1 outside the layers."""
    match = _LAYER.match(name)
    return int(match[1]) if match else -1


class MixedTypes:
    """The types of a model's tensors, asked for in the order of the file.

    Rules count the tensors they were asked about, as llama.cpp does: one whose type is overridden
    does not count.
    """

    def __init__(
        self,
        tensors: Sequence[Shaped],
        mix: Mix,
        facts: ModelFacts,
        has_imatrix: bool,  # noqa: FBT001 - a fact like the others
    ) -> None:
        self._mix = mix
        self._facts = facts
        self._has_imatrix = has_imatrix
        self._is_tied = all(tensor.name != "output.weight" for tensor in tensors)
        self._n_values = sum(_VALUES.search(tensor.name) is not None for tensor in tensors)
        self._values = itertools.count()
        self._ffn_downs = itertools.count()

    def next_type(self, tensor: Shaped) -> TensorType:
        """The type of the next tensor, before anybody asks whether its rows fit."""
        name = tensor.name
        if self._facts.architecture == "glm5-next" and _EIGHT_BITS_IN_GLM5_NEXT.search(name):
            return TensorType.Q8_0
        if name == "output.weight" or (self._is_tied and name in _EMBEDDINGS):
            return self._output_type(tensor)
        if self._mix.base is TensorType.MXFP4:
            return self._expert_type(tensor)
        if name in _EMBEDDINGS:
            return self._mix.base
        if _VALUES.search(name):
            return self._value_type()
        return self._layer_type(name)

    def _layer_type(self, name: str) -> TensorType:
        base = self._mix.base
        if "attn_k.weight" in name:
            return TensorType.Q8_0 if self._facts.has_eight_experts else base
        if "attn_output.weight" in name:
            is_raised = self._mix.raises_attn_output and self._facts.has_eight_experts
            return TensorType.Q5_K if is_raised else base
        if "ffn_down" in name:
            return self._mix.ffn_down(self._ffn_place(name)) or base
        return base

    def _output_type(self, tensor: Shaped) -> TensorType:
        base = self._mix.base
        fits = tensor.shape[-1] % base.block_weights == 0
        has_eight_bits = base in (TensorType.Q8_0, TensorType.MXFP4)
        if has_eight_bits or not fits or self._facts.architecture == "falcon":
            return TensorType.Q8_0
        return TensorType.Q6_K

    def _expert_type(self, tensor: Shaped) -> TensorType:
        is_stack = len(tensor.shape) > 2 and tensor.shape[-3] > 1
        if self._facts.architecture == "bailingmoe3":  # stacks heads, too
            is_stack = is_stack and "ffn_" in tensor.name
        return TensorType.MXFP4 if is_stack else TensorType.Q8_0

    def _value_type(self) -> TensorType:
        place = Place(next(self._values), self._n_values, self._facts, self._has_imatrix)
        chosen = self._mix.attn_v(place) or self._mix.base
        if self._facts.has_eight_experts:
            return TensorType.Q8_0
        if self._facts.is_70b and chosen is TensorType.Q4_K:
            return TensorType.Q5_K  # eight heads share it: small, and worth more bits
        return chosen

    def _ffn_place(self, name: str) -> Place:
        index, n_layer = next(self._ffn_downs), self._facts.n_layer
        if self._facts.n_expert > 1:
            # experts come as several tensors per layer, so counting would run ahead
            index = layer_of(name)
            if not 0 <= index < n_layer:
                raise CheckpointDamagedError(f"tensor {name!r} is in none of the {n_layer} layers")
        return Place(index, n_layer, self._facts, self._has_imatrix)
