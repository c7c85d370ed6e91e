"""Owns what one token needs of each place: bytes, rows, operations, looks back. Pure.

A token reads every weight that takes part in it once, of a mixture of experts those of the experts
it uses, and the KV cache as far as it is filled. Each weight is one operation of the graph; beside
them a layer turns queries and keys, stores keys and values, attends, activates and adds twice
(`build_attn` and `build_ffn` in llama.cpp's src/llama-graph.cpp). A prompt needs the output, and
the feed-forward network of the last layer, for its last token only.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from localr1.model_facts.card import ModelCard
from localr1.plan.kv_cache import (
    effective_ubatch,
    kv_bytes_per_layer,
    n_cells,
    n_rows_of_cells,
    state_bytes_per_layer,
)
from localr1.plan.rate import Prices
from localr1.plan.request import PlanRequest
from localr1.plan.weights import is_expert, layer_of, only_drafts
from localr1.units import MIB
from quant.gguf.contents import TensorInfo

_OPERATIONS_BESIDE_WEIGHTS = 8
"""Of a layer."""
LLAMA_OPERATIONS = _OPERATIONS_BESIDE_WEIGHTS + 9
"""Of a layer of the models that most published runs are of."""

# softmax, the largest of them, their weights, which are made to sum to one; and what each expert
# says is added up (`build_moe_ffn`)
_OPERATIONS_OF_ROUTING = 6
_FUSED_OPERATIONS_OF_ROUTING = 2  # one that chooses, one that adds up

# more weights than that push the KV cache out of a processor's own caches with each token
_KEPT_BYTES = 16 * MIB


@dataclass(slots=True)
class WeightWork:
    """What a token needs of the weights of one type."""

    n_bytes: float = 0.0
    n_rows: float = 0.0
    n_flops: float = 0.0
    """Operations for each token of a prompt."""
    n_prompt_bytes: float = 0.0
    """Read for a batch of a prompt, however long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceWork:
    """What one place does for each token."""

    types: Mapping[str, WeightWork]
    n_operations: int
    layers: Sequence[int]
    """Those that attend here."""

    @property
    def n_bytes(self) -> float:
        """Bytes of weights that are read."""
        return math.fsum(of_type.n_bytes for of_type in self.types.values())


class TokenWork:
    """Counts what one model needs, in one request."""

    def __init__(self, card: ModelCard, request: PlanRequest, n_ctx: int) -> None:
        self._card = card
        self.n_batch = effective_ubatch(request, n_ctx)
        """Tokens of a prompt that are computed at once."""
        self._kv_bytes = kv_bytes_per_layer(card, request, n_ctx)
        self._cells = [
            n_cells(card, request, n_ctx, is_swa=is_swa) * n_rows_of_cells(request)
            for is_swa in card.is_swa
        ]
        self._state_bytes = state_bytes_per_layer(card, request)
        experts = card.experts
        self._used = experts.n_used / experts.n_expert if experts else 1.0
        # a batch leaves few experts out
        self._touched = 1 - (1 - self._used) ** self.n_batch

    def of(
        self, tensors: Sequence[TensorInfo], layers: Iterable[int], *, is_fused: bool
    ) -> PlaceWork:
        """What is to be done where these weights are and these layers attend.

        `is_fused`: biases are added, and experts chosen, by the operations next to them, as
        kernels of GPUs do.
        """
        types: defaultdict[str, WeightWork] = defaultdict(WeightWork)
        blocks = [layer for layer in layers if layer < self._card.n_layer]
        n_operations = _OPERATIONS_BESIDE_WEIGHTS * len(blocks)
        for tensor in tensors:
            layer = layer_of(tensor, self._card.n_layer)
            is_late = layer is None or layer >= self._card.n_layer
            if is_late and only_drafts(tensor, self._card.n_layer):
                continue
            used = touched = 1.0
            n_operations += not (is_fused and tensor.name.endswith(".bias"))
            if self._card.experts is not None and is_expert(tensor):
                used, touched = self._used, self._touched
                if tensor.name.endswith("_down_exps.weight"):
                    n_operations += self._routing(is_fused=is_fused)
            work = types[tensor.type_name]
            work.n_bytes += tensor.n_bytes * used
            if len(tensor.dims) == 1:
                continue
            work.n_rows += math.prod(tensor.dims[1:]) * used
            is_late = is_late or (layer == self._card.n_layer - 1 and ".ffn_" in tensor.name)
            if not is_late:
                work.n_flops += 2 * math.prod(tensor.dims) * used
                work.n_prompt_bytes += tensor.n_bytes * touched
        return PlaceWork(types=types, n_operations=n_operations, layers=blocks)

    def _routing(self, *, is_fused: bool) -> int:
        n_used = self._card.experts.n_used if self._card.experts else 0
        return _FUSED_OPERATIONS_OF_ROUTING if is_fused else _OPERATIONS_OF_ROUTING + n_used

    def token_s(self, work: PlaceWork, prices: Prices, n_past: int) -> float:
        """Seconds of one token with `n_past` tokens in the cache."""
        working_s = work.n_operations * prices.operation_s
        return self.reading_s(work, prices) + working_s + self.attention_s(work, prices, n_past)

    def reading_s(self, work: PlaceWork, prices: Prices) -> float:
        """Seconds in which a token reads weights."""
        return math.fsum(
            prices.of(name).byte_s * of_type.n_bytes + prices.of(name).row_s * of_type.n_rows
            for name, of_type in work.types.items()
        )

    def attention_s(self, work: PlaceWork, prices: Prices, n_past: int) -> float:
        """Seconds in which a token looks back, and steps recurrent states."""
        # a state is written back for every token
        n_bytes = 2 * math.fsum(self._state_bytes[layer] for layer in work.layers)
        looks, looking_s = prices.looks, 0.0
        if looks is not None:
            n_looks, n_numbers = self.looks(work.layers, n_past)
            looking_s = n_looks * looks.look_s + n_numbers * looks.number_s
        if looks is None or work.n_bytes > _KEPT_BYTES:
            n_bytes += math.fsum(
                self._kv_bytes[layer] * min(self._seen(layer, n_past) / self._cells[layer], 1)
                for layer in work.layers
            )
        return looking_s + n_bytes * prices.weights.byte_s

    def looks(self, layers: Iterable[int], n_past: float) -> tuple[float, float]:
        """Looks of one token with `n_past` tokens before it, and the numbers that they see."""
        card = self._card
        n_looks = n_numbers = 0.0
        for layer in layers:
            if card.has_kv[layer]:
                of_layer = card.n_head[layer] * self._seen(layer, n_past)
                dim_k, dim_v = card.head_dim_k[layer], card.head_dim_v[layer]
                n_looks += of_layer
                n_numbers += of_layer * (dim_k + (dim_v or dim_k))
        return n_looks, n_numbers

    def prompt_s(self, work: PlaceWork, prices: Prices) -> float | None:
        """Seconds of the first batch of a prompt; None if the price of operations is not known."""
        seconds = 0.0
        for name, of_type in work.types.items():
            price = prices.of(name)
            flop_s = prices.weights.flop_s if price.flop_s is None else price.flop_s
            if flop_s is None:
                return None
            computing_s = of_type.n_flops * self.n_batch * flop_s
            seconds += max(computing_s, of_type.n_prompt_bytes * price.byte_s)
        each_s = prices.operation_s + self.n_batch * prices.prompt_operation_s
        seconds += work.n_operations * each_s
        if prices.looks is not None:
            n_looks, n_numbers = self.looks(work.layers, self.n_batch / 2)
            seconds += self.n_batch * prices.looks.prompt_look_s * n_looks
            seconds += self.n_batch * prices.looks.prompt_number_s * n_numbers
        return seconds

    def _seen(self, layer: int, n_past: float) -> float:
        """Cells that a token looks at; what has left a sliding window is passed over."""
        return min(n_past, self._card.n_swa) if self._card.is_swa[layer] else n_past
