"""Owns the mixes: for each quantised file type its base encoding, and where it spends more bits.

Source: src/llama-quant.cpp, llama_tensor_get_type_impl, version 0.3.36 of llama-cpp-python.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from quant.gguf.types import FileType, TensorType

_LAYERS_OF_70B = {"llama": 80, "llama-embed": 80, "qwen2": 80, "deci": 80, "olmo": 80, "jais2": 68}


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What the choice depends on besides names and shapes."""

    architecture: str
    """As llama.cpp names it."""
    n_layer: int
    """All of them, also those that predict further tokens."""
    n_head: int
    """Of the first layer, and so below."""
    n_head_kv: int
    n_expert: int = 0

    @property
    def n_heads_sharing(self) -> int:
        """Heads that share a key and a value; 0 if there are no keys."""
        return self.n_head // self.n_head_kv if self.n_head_kv else 0

    @property
    def has_eight_experts(self) -> bool:
        """As Mixtral has: its attention is small beside its experts, and worth more bits."""
        return self.n_expert == 8

    @property
    def is_70b(self) -> bool:
        """Whether llama.cpp takes the model for one of 70 billion weights."""
        if self.architecture.startswith("llama") and (
            self.has_eight_experts or self.n_head == self.n_head_kv
        ):
            return False
        return _LAYERS_OF_70B.get(self.architecture) == self.n_layer


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tensor stands among its like."""

    index: int
    total: int
    facts: ModelFacts
    has_imatrix: bool

    def is_in_first(self, fraction: int) -> bool:
        """Whether it is in the first eighth, sixteenth ..."""
        return self.index < self.total // fraction

    @property
    def pays(self) -> bool:
        """Whether more bits are worth it: near the ends, and every third between."""
        is_in_last_eighth = self.index >= 7 * self.total // 8
        is_third = (self.index - self.total // 8) % 3 == 2
        return self.is_in_first(8) or is_in_last_eighth or is_third

    @property
    def is_falcon(self) -> bool:
        """Falcon's tensors follow rules of their own."""
        return self.facts.architecture == "falcon"


Rule: TypeAlias = Callable[[Place], TensorType | None]
"""From a place to a type, or None to keep the base type."""


def _keep(_place: Place) -> None:
    return None


def _six_bits_where_it_pays(place: Place) -> TensorType | None:
    return TensorType.Q6_K if place.pays else None


def _up_to_six_bits(place: Place) -> TensorType | None:
    if place.is_falcon and not place.is_in_first(16):
        return TensorType.Q5_K if place.pays else None
    return _six_bits_where_it_pays(place)


def _five_bits_first_four(place: Place) -> TensorType | None:
    return TensorType.Q5_K if place.index < 4 else None


def _five_bits_first_eighth(place: Place) -> TensorType | None:
    return TensorType.Q5_K if place.is_in_first(8) and not place.is_falcon else None


def _five_bits_first_eighth_unweighted(place: Place) -> TensorType | None:
    return TensorType.Q5_K if place.is_in_first(8) and not place.has_imatrix else None


def _five_bits_if_shared_by_four(place: Place) -> TensorType | None:
    return TensorType.Q5_K if place.facts.n_heads_sharing >= 4 else None


def _offset_first_eighth_weighted(place: Place) -> TensorType | None:
    # with an imatrix the first few go wrong in Q4_0, without one they stay as they always were
    return TensorType.Q4_1 if place.is_in_first(8) and place.has_imatrix else None


@dataclass(frozen=True, slots=True)
class Mix:
    """Types of one quantised file type."""

    base: TensorType
    attn_v: Rule = _keep
    """For values, and for matrices that make values among other things."""
    ffn_down: Rule = _keep
    raises_attn_output: bool = False
    """To 5 bits, in models of eight experts."""


MIXES = {
    FileType.Q4_0: Mix(TensorType.Q4_0, ffn_down=_offset_first_eighth_weighted),
    FileType.Q4_1: Mix(TensorType.Q4_1),
    FileType.Q4_K_S: Mix(
        TensorType.Q4_K, _five_bits_first_four, _five_bits_first_eighth, raises_attn_output=True
    ),
    FileType.Q4_K_M: Mix(
        TensorType.Q4_K, _six_bits_where_it_pays, _up_to_six_bits, raises_attn_output=True
    ),
    FileType.IQ4_NL: Mix(
        TensorType.IQ4_NL,
        _five_bits_if_shared_by_four,
        _five_bits_first_eighth_unweighted,
        raises_attn_output=True,
    ),
    FileType.IQ4_XS: Mix(
        TensorType.IQ4_XS,
        _five_bits_if_shared_by_four,
        _five_bits_first_eighth_unweighted,
        raises_attn_output=True,
    ),
    FileType.Q5_K_S: Mix(TensorType.Q5_K),
    FileType.Q5_K_M: Mix(TensorType.Q5_K, _six_bits_where_it_pays, _six_bits_where_it_pays),
    FileType.Q6_K: Mix(TensorType.Q6_K),
    FileType.Q8_0: Mix(TensorType.Q8_0),
    FileType.MXFP4_MOE: Mix(TensorType.MXFP4),
}
