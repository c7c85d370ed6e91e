"""Owns what was measured on this machine, how it becomes a rate, and its form on the disk. Pure.

A range goes from the median to the fastest of the tokens that were timed: on a quiet machine the
two are close, on a busy one the range says so.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from localr1.plan.hardware import Range, Rate

_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a measurement holds for: measured elsewhere or otherwise, it says nothing."""

    processor: str
    n_threads: int
    llama_cpp_python: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """One decode of a model that is nothing but weights."""

    n_bytes: int
    """Weights that each token reads."""
    n_weights: int
    token_s: tuple[float, ...]
    n_prompt: int
    prompt_s: float
    n_layer: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The processor of one machine."""

    identity: Identity
    copy_bytes_per_s: Range
    layer_s: Range
    weight_bytes_per_s: Mapping[str, Range]
    flops: Range

    def rate(self) -> Rate:
        """As the planner takes it. The cache is read at most as fast as memory is copied."""
        slowest = min((low for low, _ in self.weight_bytes_per_s.values()), default=0.0)
        lowest, highest = self.copy_bytes_per_s
        return Rate(
            bytes_per_s=(min(lowest, slowest) or lowest, highest),
            layer_s=self.layer_s,
            flops=self.flops,
            weight_bytes_per_s=self.weight_bytes_per_s,
            source="measured on this machine",
        )

    def to_json(self) -> dict[str, Any]:
        """One document, for the cache."""
        return {"version": _VERSION, **asdict(self)}


def from_json(document: Any, identity: Identity) -> Measured | None:
    """What `to_json` wrote; None if it is of another machine or version, or no such document."""
    try:
        if document["version"] != _VERSION or document["identity"] != asdict(identity):
            return None
        return Measured(
            identity=identity,
            copy_bytes_per_s=_range(document["copy_bytes_per_s"]),
            layer_s=_range(document["layer_s"]),
            weight_bytes_per_s={
                str(name): _range(pair) for name, pair in document["weight_bytes_per_s"].items()
            },
            flops=_range(document["flops"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def measured_from(
    identity: Identity,
    *,
    copies_per_s: Sequence[float],
    timings: Mapping[str, Timing],
    deep: Sequence[Timing],
) -> Measured:
    """Rates from times.

    `copies_per_s` are bytes moved per second in several tries, `timings` go by type of weights.
    `deep` are models of many layers and few bytes, in the first of these types.
    """
    flops = [2 * t.n_weights * t.n_prompt / t.prompt_s for t in timings.values()]
    rates = {
        name: (t.n_bytes / statistics.median(t.token_s), t.n_bytes / min(t.token_s))
        for name, t in timings.items()
    }
    fastest = next(iter(rates.values()))[1]
    layers_s = [_layer_s(timing, fastest) for timing in deep]
    return Measured(
        identity=identity,
        copy_bytes_per_s=(statistics.median(copies_per_s), max(copies_per_s)),
        layer_s=(min(layers_s), max(layers_s)),
        weight_bytes_per_s=rates,
        flops=(min(flops), max(flops)),
    )


def _layer_s(timing: Timing, bytes_per_s: float) -> float:
    """What a layer takes beside its reading; a tenth of the whole at least, clocks are coarse."""
    token_s = min(timing.token_s)
    return max(token_s - timing.n_bytes / bytes_per_s, token_s / 10) / timing.n_layer


def _range(pair: Any) -> Range:
    low, high = (float(value) for value in pair)
    if not 0 < low <= high < float("inf"):
        raise ValueError(pair)
    return low, high
