"""Owns what was measured on this machine, how times become prices, and their form on disk. Pure.

The time of every measured model is a sum: what it needs, each at its price. The prices are those
that fit all times best, measured in shares of each time. Slow prices fit the slower quarter of the
tokens, fast ones the faster quarter: on a quiet machine the two are close, on a busy one the range
says so.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from localr1.model_facts.card import ModelCard
from localr1.plan.rate import LookPrice, Prices, Rate, WeightPrice
from localr1.plan.request import PlanRequest
from localr1.plan.token_work import PlaceWork, TokenWork
from localr1.plan.weights import WeightTable
from localr1.worker.protocol import FrameError, from_json, to_json

_VERSION = 2

# What things took on two cores of a Zen 4 server. Where times leave a price open, it stays near
# this: being off by its own size counts as much as one time that is off by a tenth.
_USUAL_S = {
    "byte": 4e-11,
    "row": 1e-8,
    "operation": 1e-6,
    "look": 2e-8,
    "number": 3e-11,
    "token": 6e-5,
    "vocabulary": 2e-9,
    "flop": 1e-11,
    "prompt operation": 1e-7,
    "prompt look": 1e-9,
    "prompt number": 3e-11,
}
_DOUBT = 0.1

_LEAST = 0.01  # of what is usual

_FASTER, _SLOWER = 0, 2  # quarters of all times
# a sum of prices is off by about a tenth for shapes that were not measured
_SHARE = {_FASTER: 0.9, _SLOWER: 1.1}

_Needs = dict[tuple[str, str], float]
"""How much a time has of each thing with a price; by its name, and the type of weights or ""."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a measurement holds for: measured elsewhere or otherwise, it says nothing."""

    processor: str
    n_threads: int
    llama_cpp_python: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """One small model, and how long it took."""

    card: ModelCard
    n_prompt: int
    n_tokens: int
    """Of each of its answers."""
    prompt_s: tuple[float, ...]
    token_s: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The processor of one machine."""

    identity: Identity
    copy_bytes_per_s: tuple[float, ...]
    """Read and written per second: in the middle, and at best."""
    slow: Prices
    fast: Prices
    is_rough: bool = False
    """Memory was copied, and nothing else done."""

    def rate(self) -> Rate:
        """As the planner takes it."""
        source = "a memory copy" if self.is_rough else "measured on this machine"
        return Rate(slow=self.slow, fast=self.fast, source=source, is_rough=self.is_rough)

    def adding(self, before: Measured | None) -> Measured:
        """With the types of weights that were measured before, and not again."""
        if before is None or before.is_rough:
            return self
        slow = replace(self.slow, types=before.slow.types | self.slow.types)
        fast = replace(self.fast, types=before.fast.types | self.fast.types)
        return replace(self, slow=slow, fast=fast)

    def to_json(self) -> dict[str, Any]:
        """One document, for the cache."""
        return {"version": _VERSION, "measured": to_json(self)}


def read_measured(document: Any, identity: Identity) -> Measured | None:
    """What `to_json` wrote; None if it is of another machine or version, or no such document."""
    try:
        if document["version"] != _VERSION:
            return None
        measured = from_json(Measured, document["measured"])
    except (KeyError, TypeError, FrameError):
        return None
    is_sane = all(0 <= number < math.inf for number in _numbers(document["measured"]))
    reads = [price.byte_s for end in measured.rate().ends for price in end.all_weights]
    return measured if is_sane and min(reads) > 0 and measured.identity == identity else None


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        for item in value.values():
            yield from _numbers(item)
    elif isinstance(value, list):
        for item in value:
            yield from _numbers(item)
    elif isinstance(value, int | float):
        yield value


def measured_from(
    identity: Identity, *, copies_per_s: Sequence[float], timings: Sequence[Timing]
) -> Measured:
    """Prices from times; `copies_per_s` are bytes moved per second in several tries."""
    middle, best = statistics.median(copies_per_s), max(copies_per_s)
    slow, fast = _prices(timings, _SLOWER), _prices(timings, _FASTER)
    dearest = max(slow.types.values(), key=lambda price: price.byte_s)
    return Measured(
        identity=identity,
        copy_bytes_per_s=(middle, best),
        # any other type, and recurrent states: from the slowest type to what is copied
        slow=replace(slow, weights=replace(dearest, byte_s=max(dearest.byte_s, 1 / middle))),
        fast=replace(fast, weights=replace(fast.weights, byte_s=1 / best)),
    )


def _prices(timings: Sequence[Timing], quarter: int) -> Prices:
    """Prices of one end: those of the first quarter of all times, or of the third."""
    of_tokens = _fitted([(_token_needs(t), _quartile(t.token_s, quarter)) for t in timings])
    prompts = []
    for timing in timings:
        started_s = _sum(_start_needs(timing.card), of_tokens)
        # a clock that is late by a little must not make a prompt free
        prompt_s = max(_quartile(timing.prompt_s, quarter) - started_s, started_s / 10)
        prompts.append((_prompt_needs(timing), prompt_s))
    fitted = of_tokens | _fitted(prompts)
    found = {key: _SHARE[quarter] * price_s for key, price_s in fitted.items()}
    types = {
        name: WeightPrice(
            byte_s=found["byte", name], row_s=found["row", name], flop_s=found["flop", name]
        )
        for what, name in found
        if what == "byte"
    }
    return Prices(
        weights=min(types.values(), key=lambda price: price.byte_s),
        types=types,
        operation_s=found["operation", ""],
        prompt_operation_s=found["prompt operation", ""],
        looks=LookPrice(
            look_s=found["look", ""],
            number_s=found["number", ""],
            prompt_look_s=found["prompt look", ""],
            prompt_number_s=found["prompt number", ""],
        ),
        token_s=found["token", ""],
        vocabulary_s=found["vocabulary", ""],
    )


def _token_needs(timing: Timing) -> _Needs:
    """Of one token of the answer."""
    card = timing.card
    counts, work = _work(card)
    n_past = timing.n_prompt + timing.n_tokens / 2
    n_looks, n_numbers = counts.looks(work.layers, n_past)
    needs = _start_needs(card)
    needs |= {("look", ""): n_looks, ("number", ""): n_numbers}
    for name, of_type in work.types.items():
        if of_type.n_rows:  # not of norms, which are a few kB
            needs |= {("byte", name): of_type.n_bytes, ("row", name): of_type.n_rows}
    return needs


def _start_needs(card: ModelCard) -> _Needs:
    """Of anything that ends with choosing a token."""
    _, work = _work(card)
    return {
        ("operation", ""): work.n_operations,
        ("token", ""): 1.0,
        ("vocabulary", ""): card.n_vocab,
    }


def _prompt_needs(timing: Timing) -> _Needs:
    """Of the whole prompt."""
    n = timing.n_prompt
    counts, work = _work(timing.card)
    n_looks, n_numbers = counts.looks(work.layers, n / 2)
    needs: _Needs = {
        ("prompt operation", ""): n * work.n_operations,
        ("prompt look", ""): n * n_looks,
        ("prompt number", ""): n * n_numbers,
    }
    flops = {name: of_type.n_flops for name, of_type in work.types.items() if of_type.n_rows}
    return needs | {("flop", name): n * n_flops for name, n_flops in flops.items()}


def _work(card: ModelCard) -> tuple[TokenWork, PlaceWork]:
    counts = TokenWork(card, PlanRequest(), card.n_ctx_train)
    layers = range(card.n_layer + 1)
    tensors = WeightTable(card).read_on_host(layers, 0)
    return counts, counts.of(tensors, layers, is_fused=False)


def _fitted(rows: Sequence[tuple[_Needs, float]]) -> _Needs:
    """The prices, each more than nothing, at which these needs come closest to these times."""
    import numpy as np

    keys = list(dict.fromkeys(key for needs, _ in rows for key in needs))
    usual_s = np.array([_USUAL_S[what] for what, _ in keys])
    shares = [[needs.get(key, 0.0) / seconds for key in keys] for needs, seconds in rows]
    # in units of the usual price all prices are near one
    matrix = np.vstack([np.array(shares) * usual_s, _DOUBT * np.eye(len(keys))])
    wanted = np.append(np.ones(len(rows)), np.full(len(keys), _DOUBT))
    kept, prices = np.full(len(keys), fill_value=True), np.zeros(len(keys))
    while kept.any():
        prices[kept] = np.linalg.lstsq(matrix[:, kept], wanted, rcond=None)[0]
        prices[~kept] = 0
        if prices.min() >= 0:
            break
        kept[prices.argmin()] = False
    prices_s = np.maximum(prices, _LEAST) * usual_s
    return dict(zip(keys, prices_s.tolist(), strict=True))


def _sum(needs: _Needs, prices: _Needs) -> float:
    return math.fsum(n * prices[key] for key, n in needs.items())


def _quartile(times: Sequence[float], quarter: int) -> float:
    return sorted(times)[(quarter + 1) * (len(times) - 1) // 4]
