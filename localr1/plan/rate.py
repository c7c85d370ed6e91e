"""Owns how fast a device is, as prices: what each thing that a token needs takes, in seconds.

A range is two sets of prices, a slow one and a fast one. They come from a data sheet, or from a
measurement on this machine; whoever multiplies them with what a model needs gets seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field

Range = tuple[float, float]
"""From, to; in the unit that the field's name says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightPrice:
    """Of weights of one type."""

    byte_s: float
    """One byte, read for one token."""
    row_s: float = 0.0
    """One row of a matrix beside its bytes: short rows are read more slowly than long ones."""
    flop_s: float | None = None
    """One operation of a long prompt; None where it is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LookPrice:
    """Of attention, where it is bound by work and not by reading the cache: on processors.

    A look is one head of a token at one cell of the cache.
    """

    look_s: float
    number_s: float
    """Each number of the keys and values that a look sees."""
    prompt_look_s: float = 0.0
    prompt_number_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """One end of a range."""

    weights: WeightPrice
    """Of any type that `types` does not name; the cache is read at the same price per byte."""
    types: dict[str, WeightPrice] = field(default_factory=dict)
    operation_s: float = 0.0
    """Starting one operation of the graph, and waiting until all threads are done with it."""
    prompt_operation_s: float = 0.0
    """One operation on one token of a prompt, beside products with weights and attention."""
    looks: LookPrice | None = None
    """None where attention takes as long as reading the cache."""
    token_s: float = 0.0
    """A token of any model: choosing it, and its way to the screen."""
    vocabulary_s: float = 0.0
    """One token of the vocabulary, each time one of them is chosen."""

    def of(self, type_name: str) -> WeightPrice:
        """The price of weights of a type."""
        return self.types.get(type_name, self.weights)

    @property
    def all_weights(self) -> tuple[WeightPrice, ...]:
        """The prices of all types."""
        return self.weights, *self.types.values()

    def choosing_s(self, n_vocab: int) -> float:
        """Seconds to choose a token, and to show it."""
        return self.token_s + n_vocab * self.vocabulary_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How fast a device works through a model."""

    slow: Prices
    fast: Prices
    source: str
    is_rough: bool = False
    """Guessed from little; somebody could measure it."""

    @property
    def ends(self) -> tuple[Prices, Prices]:
        """Slow, fast."""
        return self.slow, self.fast

    @property
    def bytes_per_s(self) -> Range:
        """Weights of any type, and the cache."""
        return 1 / self.slow.weights.byte_s, 1 / self.fast.weights.byte_s
