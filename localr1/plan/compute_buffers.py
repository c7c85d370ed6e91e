"""Owns which compute buffers a split needs: those of the GPUs, and the host's. Pure.

Source: llama.cpp at the pinned version: `llama_context` decides about pipelining
(src/llama-context.cpp), `ggml_backend_sched_backend_id_from_cur` about `op_offload`
(ggml/src/ggml-backend.cpp), which RPC devices have not (ggml/src/ggml-rpc/ggml-rpc.cpp).
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache, partial

from localr1.model_facts.card import ModelCard
from localr1.plan.compute import (
    cpu_compute_bytes,
    first_alike,
    gpu_compute_bytes,
    layout_of,
    shortened,
    split_compute_bytes,
    staging_bytes,
)
from localr1.plan.engine_version import pipelines
from localr1.plan.hardware import Hardware
from localr1.plan.offload import Split
from localr1.plan.request import PlanRequest
from localr1.plan.weights import WeightTable, largest_matrix_bytes

# Batches from this size on are multiplied by the GPU even where the weights are the host's: each
# matrix is copied over while it is needed.
_STREAMED_BATCH = 32


class ComputeBuffers:
    """The compute buffers of one model on given hardware, for any context and any split."""

    def __init__(
        self, card: ModelCard, request: PlanRequest, hardware: Hardware, weights: WeightTable
    ) -> None:
        self._card = card
        self._request = request
        self._hardware = hardware
        self._weights = weights
        # few of them depend on the split, and a search asks for many splits
        short = shortened(card)
        self._on_gpu = lru_cache(partial(gpu_compute_bytes, short, request))
        self._on_cpu = lru_cache(partial(cpu_compute_bytes, short, request))
        self._staging = lru_cache(partial(staging_bytes, short, request))
        self._on_each = lru_cache(partial(split_compute_bytes, short, request))
        self._alike = first_alike(card)
        self._largest_streamed = lru_cache(self._largest_on_host)
        # a matrix is there while it is multiplied with, which is never while attention runs
        self._without_scores = self._on_gpu
        if not request.uses_flash_attn:
            no_scores = replace(request, flash_attn="on")
            self._without_scores = lru_cache(partial(gpu_compute_bytes, short, no_scores))

    def sizes(self, n_ctx: int, split: Split) -> tuple[int, ...]:
        """Bytes on each GPU and, last, on the host."""
        sizes = list(self.graph_sizes(n_ctx, split))
        first = next((i for i, n in enumerate(split.layers) if n), None)
        if first is not None:
            sizes[first] = max(sizes[first], self.streaming_bytes(n_ctx, split))
        return tuple(sizes)

    def graph_sizes(self, n_ctx: int, split: Split) -> tuple[int, ...]:
        """The same without what the first GPU needs to multiply with the host's matrices."""
        n_used = sum(n > 0 for n in split.layers)
        if n_used > 1 or (n_used and self._hardware.is_remote):
            can_overlap = n_used > 1 and pipelines(self._request.engine_build)
            is_pipelined = can_overlap and self._is_whole(split)
            layout = layout_of(self._card, self._alike, split.layers, is_pipelined=is_pipelined)
            sizes = self._on_each(n_ctx, layout)
            # experts that stay behind are computed there as well
            return (*sizes[:-1], self._on_cpu(n_ctx)) if split.n_host_experts else sizes
        on_gpus = (self._on_gpu(n_ctx) if n else 0 for n in split.layers)
        on_host = self._staging(n_ctx) if self._is_whole(split) else self._on_cpu(n_ctx)
        return *on_gpus, on_host

    def streaming_bytes(self, n_ctx: int, split: Split) -> int:
        """Bytes on a GPU while it borrows a matrix of the host; 0 if it never does."""
        borrowed_bytes = self._largest_streamed(split)
        return self._without_scores(n_ctx) + borrowed_bytes if borrowed_bytes else 0

    def _is_whole(self, split: Split) -> bool:
        """Whether the GPUs have everything. Several of them then work on several batches."""
        return split.n_gpu_layers > self._card.n_layer and not split.n_host_experts

    def _largest_on_host(self, split: Split) -> int:
        """The largest matrix that is copied to a GPU for long batches; one at a time is there."""
        is_short = min(self._request.n_ubatch, self._request.n_batch) < _STREAMED_BATCH
        if is_short or self._hardware.is_remote:
            return 0
        host_layers = range(self._card.n_layer + 1 - split.n_gpu_layers)
        return largest_matrix_bytes(self._weights.read_on_host(host_layers, split.n_host_experts))
