"""Owns where the weights of a model lie, and in how many copies.

Source: llama.cpp at the pinned version, `llama_model_base::load_tensors` and `make_cpu_buft_list`
(src/llama-model.cpp), `ggml_repack_get_optimal_repack_type` (ggml/src/ggml-cpu/repack.cpp), and
`LLM_FFN_EXPS_REGEX` (common/common.h) for what `--n-cpu-moe` keeps on the host.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache

from localr1.model_facts.card import ModelCard
from localr1.plan.engine_version import keeps_rows_on_host
from quant.gguf.contents import TensorInfo

# types that the CPU backend stores interleaved, and the number of rows that must divide evenly
_REPACKED_ROWS: dict[str, dict[str, int]] = {
    "avx2": {"Q4_0": 8, "Q4_K": 8, "IQ4_NL": 8, "MXFP4": 8},
    "avx512": {"Q2_K": 8},
    "dotprod": {
        "Q4_0": 4, "Q4_K": 8, "Q5_K": 8, "Q6_K": 8, "IQ4_NL": 4, "MXFP4": 4, "Q8_0": 4, "Q1_0": 4,
    },
}  # fmt: skip

_ROWS = "per_layer_token_embd"
_INPUT_NAMES = ("token_embd", "token_types", "position_embd", _ROWS)
_EXPERT_NAME = re.compile(r"\bffn_(up|down|gate|gate_up)_(ch|)exps")


@dataclass(frozen=True, slots=True)
class HostWeights:
    """Weights in the machine's own memory."""

    mapped_bytes: int
    """The span of the file that stays mapped, or the buffer it is read into without mmap."""
    repacked_bytes: int
    """A second form of some matrices, laid out for the processor."""
    unused_bytes: int
    """What is mapped but never read again; the system takes it back when memory runs short."""

    @property
    def total_bytes(self) -> int:
        """What llama.cpp's log adds up to."""
        return self.mapped_bytes + self.repacked_bytes


class WeightTable:
    """The tensors of one model by the layer they belong to, experts apart.

    `n_host_experts` below is llama.cpp's `--n-cpu-moe`: the experts of that many first layers stay
    on the host, wherever their layer is.
    """

    def __init__(self, card: ModelCard, build: int | None = None) -> None:
        """`build` is llama.cpp's where it is not the mirrored version."""
        self._card = card
        self._input: list[TensorInfo] = []
        self._shared: list[list[TensorInfo]] = [[] for _ in range(card.n_layer + 1)]
        self._experts: list[list[TensorInfo]] = [[] for _ in range(card.n_layer + 1)]
        for tensor in card.tensors:
            layer = layer_of(tensor, card.n_layer)
            if tensor.name.startswith(_ROWS) and not keeps_rows_on_host(build):
                layer = card.n_layer
            if layer is None:
                self._input.append(tensor)
            else:
                tensors = self._experts if is_expert(tensor) else self._shared
                tensors[min(layer, card.n_layer)].append(tensor)
        self.expert_layers = tuple(i for i, tensors in enumerate(self._experts) if tensors)
        """Layers that have experts."""
        self._shared_bytes = [total_bytes(tensors) for tensors in self._shared]
        self._expert_bytes = [total_bytes(tensors) for tensors in self._experts]
        if card.is_tied:
            self._shared_bytes[-1] += total_bytes(self._tied_output())

    def of_gpu(self, layers: Iterable[int], n_host_experts: int) -> list[TensorInfo]:
        """What a GPU that holds `layers` keeps; a tied embedding is there as the output."""
        tensors: list[TensorInfo] = []
        for layer in layers:
            tensors += self._shared[layer]
            if layer >= n_host_experts:
                tensors += self._experts[layer]
            if layer == self._card.n_layer and self._card.is_tied:
                tensors += self._tied_output()
        return tensors

    def gpu_bytes(self, layer: int, n_host_experts: int) -> int:
        """What a GPU keeps of one layer; the sum of `of_gpu`, without looking at each tensor."""
        with_experts = layer >= n_host_experts
        return self._shared_bytes[layer] + (self._expert_bytes[layer] if with_experts else 0)

    def read_on_host(self, layers: Collection[int], n_host_experts: int) -> list[TensorInfo]:
        """What the host reads for each token: all that it keeps but the input layer."""
        is_output = self._card.is_tied and self._card.n_layer in layers
        tied = self._tied_output() if is_output else []
        return [*self._computed_on_host(layers, n_host_experts), *tied]

    def host_weights(
        self,
        layers: Collection[int],
        n_host_experts: int,
        *,
        features: Collection[str],
        use_mmap: bool,
        shared: Collection[TensorInfo] = (),
    ) -> HostWeights:
        """How the host keeps its part; `features` empty means that nothing is repacked.

        `shared` is what a GPU that has the host's memory maps: those pages are counted there.
        """
        plain: list[TensorInfo] = list(self._input)
        repacked: list[TensorInfo] = []
        for tensor in self._computed_on_host(layers, n_host_experts):
            (repacked if _is_repacked(tensor, features) else plain).append(tensor)
        repacked_bytes = total_bytes(repacked)
        if self._card.is_tied and self._card.n_layer in layers:
            # the output is the embedding again: the same memory, unless it is wanted interleaved
            repacked_bytes += total_bytes(
                tensor for tensor in self._tied_output() if _is_repacked(tensor, features)
            )
        plain_bytes = total_bytes(plain)
        if not use_mmap:
            return HostWeights(plain_bytes, repacked_bytes, 0)
        mapped_bytes, (start, end) = span_bytes(plain), _span(shared)
        shared_bytes = total_bytes(t for t in plain if start <= t.offset < end)
        unused_bytes = mapped_bytes - plain_bytes + shared_bytes
        return HostWeights(mapped_bytes, repacked_bytes, unused_bytes)

    def _tied_output(self) -> list[TensorInfo]:
        return [tensor for tensor in self._input if tensor.name == "token_embd.weight"]

    def _computed_on_host(self, layers: Collection[int], n_host_experts: int) -> list[TensorInfo]:
        here = frozenset(layers)
        tensors: list[TensorInfo] = []
        for layer in range(self._card.n_layer + 1):
            if layer in here:
                tensors += self._shared[layer]
            if layer in here or layer < n_host_experts:
                tensors += self._experts[layer]
        return tensors


def layer_of(tensor: TensorInfo, n_layer: int) -> int | None:
    """The block a tensor belongs to; `n_layer` for the output, None for the input."""
    number = _layer_number(tensor.name)
    if number is not None:
        return number
    return None if tensor.name.startswith(_INPUT_NAMES) else n_layer


@lru_cache(maxsize=2**14)  # every model and every type asks for the same names again
def _layer_number(name: str) -> int | None:
    """What stands in a name after `blk.`; None if that is no number."""
    head, _, rest = name.partition(".")
    number = rest.partition(".")[0]
    return int(number) if head == "blk" and number.isdecimal() else None


def is_expert(tensor: TensorInfo) -> bool:
    """Whether a tensor holds the experts of a layer, of which a token needs a few."""
    return is_expert_name(tensor.name)


@lru_cache(maxsize=2**14)  # every model and every type asks for the same names again
def is_expert_name(name: str) -> bool:
    """The same by a tensor's name, with or without the layer before it."""
    return _EXPERT_NAME.search(name) is not None


def only_drafts(tensor: TensorInfo, n_layer: int) -> bool:
    """Whether a tensor belongs to a layer behind the last one: loaded, but never run."""
    layer = layer_of(tensor, n_layer)
    return tensor.name.startswith("blk.") and layer is not None and layer >= n_layer


def total_bytes(tensors: Iterable[TensorInfo]) -> int:
    """Their sum."""
    return sum(tensor.n_bytes for tensor in tensors)


def span_bytes(tensors: Collection[TensorInfo]) -> int:
    """The part of the file from the first of them to the end of the last."""
    start, end = _span(tensors)
    return end - start


def _span(tensors: Collection[TensorInfo]) -> tuple[int, int]:
    if not tensors:
        return 0, 0
    return min(t.offset for t in tensors), max(t.offset + t.n_bytes for t in tensors)


def _is_repacked(tensor: TensorInfo, features: Collection[str]) -> bool:
    """Whether the CPU backend keeps a matrix interleaved; rows must fill whole groups."""
    if not tensor.name.endswith(".weight") or len(tensor.dims) < 2:
        return False
    rows = [_REPACKED_ROWS[name].get(tensor.type_name) for name in features]
    return any(step is not None and tensor.dims[1] % step == 0 for step in rows)
