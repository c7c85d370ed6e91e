"""Owns where the weights of a model lie, and in how many copies.

Source: llama.cpp at the pinned version, `llama_model_base::load_tensors` and `make_cpu_buft_list`
(src/llama-model.cpp), `ggml_repack_get_optimal_repack_type` (ggml/src/ggml-cpu/repack.cpp).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from localr1.model_card import ModelCard
from quant.gguf.contents import TensorInfo

# types that the CPU backend stores interleaved, and the number of rows that must divide evenly
_REPACKED_ROWS: dict[str, dict[str, int]] = {
    "avx2": {"Q4_0": 8, "Q4_K": 8, "IQ4_NL": 8, "MXFP4": 8},
    "avx512": {"Q2_K": 8},
    "dotprod": {
        "Q4_0": 4, "Q4_K": 8, "Q5_K": 8, "Q6_K": 8, "IQ4_NL": 4, "MXFP4": 4, "Q8_0": 4, "Q1_0": 4,
    },
}  # fmt: skip

_INPUT_NAMES = ("token_embd", "token_types", "position_embd", "per_layer_token_embd")


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


def layer_of(tensor: TensorInfo, n_layer: int) -> int | None:
    """The block a tensor belongs to; `n_layer` for the output, None for the input."""
    if tensor.name.startswith("blk."):
        number = tensor.name.split(".", 2)[1]
        return int(number) if number.isdecimal() else n_layer
    return None if tensor.name.startswith(_INPUT_NAMES) else n_layer


def host_weights(
    card: ModelCard, layers: Collection[int], *, features: Collection[str], use_mmap: bool
) -> HostWeights:
    """The input layer and `layers` on the host; `features` empty means that nothing is repacked."""
    plain: list[TensorInfo] = []
    repacked: list[TensorInfo] = []
    for tensor in card.tensors:
        layer = layer_of(tensor, card.n_layer)
        if layer is not None and layer not in layers:
            continue
        (repacked if layer is not None and _is_repacked(tensor, features) else plain).append(tensor)
    repacked_bytes = sum(tensor.n_bytes for tensor in repacked)
    plain_bytes = sum(tensor.n_bytes for tensor in plain)
    if card.is_tied and card.n_layer in layers:
        # the output is the embedding again: the same memory, unless it is wanted interleaved
        repacked_bytes += sum(
            tensor.n_bytes
            for tensor in plain
            if tensor.name == "token_embd.weight" and _is_repacked(tensor, features)
        )
    if not use_mmap:
        return HostWeights(plain_bytes, repacked_bytes, 0)
    span_bytes = _span_bytes(plain)
    return HostWeights(span_bytes, repacked_bytes, span_bytes - plain_bytes)


def gpu_weight_bytes(card: ModelCard, layers: Collection[int]) -> int:
    """Bytes of the weights of `layers` on a GPU; a tied embedding lies there once more."""
    n_bytes = sum(t.n_bytes for t in card.tensors if layer_of(t, card.n_layer) in layers)
    if card.is_tied and card.n_layer in layers:
        n_bytes += sum(t.n_bytes for t in card.tensors if t.name == "token_embd.weight")
    return n_bytes


def _span_bytes(tensors: Sequence[TensorInfo]) -> int:
    if not tensors:
        return 0
    return max(t.offset + t.n_bytes for t in tensors) - min(t.offset for t in tensors)


def _is_repacked(tensor: TensorInfo, features: Collection[str]) -> bool:
    """Whether the CPU backend keeps a matrix interleaved; rows must fill whole groups."""
    if not tensor.name.endswith(".weight") or len(tensor.dims) < 2:
        return False
    rows = [_REPACKED_ROWS[name].get(tensor.type_name) for name in features]
    return any(step is not None and tensor.dims[1] % step == 0 for step in rows)
