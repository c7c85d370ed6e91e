"""Owns which compute buffers a split needs: those of the GPUs, and the host's. Pure.

Source: llama.cpp at the pinned version: `llama_context` decides about pipelining and norms
(src/llama-context.cpp), `ggml_backend_sched_backend_id_from_cur` about `op_offload`
(ggml/src/ggml-backend.cpp); `offload_op` in ggml/src/ggml-{cuda,vulkan,sycl,metal}, which RPC
devices have not (ggml/src/ggml-rpc/ggml-rpc.cpp).
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache, partial

from backends.device import DeviceKind
from localr1.model_facts.card import ModelCard
from localr1.plan.compute import (
    cpu_compute_bytes,
    first_alike,
    gpu_compute_bytes,
    layout_of,
    shortened,
    split_compute_peaks,
    staging_bytes,
)
from localr1.plan.engine_version import layers_on_gpus, pipelines, splits_compute_buffers
from localr1.plan.graph import Peak
from localr1.plan.hardware import Hardware
from localr1.plan.kv_cache import effective_ubatch
from localr1.plan.offload import Split
from localr1.plan.request import PlanRequest
from localr1.plan.schedule import LONG_BATCH, Layout


class ComputeBuffers:
    """The compute buffers of one model on given hardware, for any context and any split."""

    def __init__(self, card: ModelCard, request: PlanRequest, hardware: Hardware) -> None:
        self._card = card
        self._request = request
        self._hardware = hardware
        # few of them depend on the split, and a search asks for many splits
        short = shortened(card)
        self._on_gpu = lru_cache(partial(gpu_compute_bytes, short, request))
        self._on_cpu = lru_cache(partial(cpu_compute_bytes, short, request))
        self._staging = lru_cache(partial(staging_bytes, short, request))
        self._on_each = lru_cache(partial(split_compute_peaks, short, request))
        is_split = splits_compute_buffers(request.engine_build)
        self._buffer_bytes = tuple(gpu.buffer_bytes if is_split else None for gpu in hardware.gpus)
        self._alike = first_alike(card)

    def sizes(self, n_ctx: int, split: Split) -> tuple[int, ...]:
        """Bytes on each GPU and, last, on the host."""
        return tuple(peak.n_bytes for peak in self.peaks(n_ctx, split))

    def peaks(self, n_ctx: int, split: Split) -> tuple[Peak, ...]:
        """The same with the largest buffer of each."""
        used = [i for i, n in enumerate(split.layers) if n]
        if not used:
            return *(Peak(0, 0) for _ in split.layers), _one_buffer(self._on_cpu(n_ctx))
        if len(used) == 1 and self._is_whole(split) and not self._hardware.is_remote:
            n_bytes, max_bytes = self._on_gpu(n_ctx), self._buffer_bytes[used[0]]
            if max_bytes is None or n_bytes <= max_bytes:
                on_gpus = (_one_buffer(n_bytes if n else 0) for n in split.layers)
                return *on_gpus, _one_buffer(self._staging(n_ctx))
        return self._on_each(n_ctx, self._layout(n_ctx, split), self._buffer_bytes)

    def _layout(self, n_ctx: int, split: Split) -> Layout:
        is_long = effective_ubatch(self._request, n_ctx) >= LONG_BATCH
        n_used = sum(n > 0 for n in split.layers)
        on_gpus = layers_on_gpus(split.n_gpu_layers, self._card.n_layer, self._request.engine_build)
        can_overlap = n_used > 1 and pipelines(self._request.engine_build)
        borrower = self._borrower(split)
        return replace(
            layout_of(self._card, self._alike, split, on_gpus),
            is_pipelined=can_overlap and self._is_whole(split),
            keeps_norms=not is_long or split.n_gpu_layers > self._card.n_layer,
            borrower=borrower,
            most_borrowed_bytes=self._most_borrowed_bytes(borrower),
            borrows_products_only=any(g.kind is DeviceKind.METAL for g in self._hardware.gpus),
        )

    def _borrower(self, split: Split) -> int | None:
        """The first GPU in use that multiplies with the host's matrices; None if none does."""
        gpus = zip(self._hardware.gpus, split.layers, strict=True)
        return next(
            (i for i, (gpu, n) in enumerate(gpus) if n and gpu.kind is not DeviceKind.RPC), None
        )

    def _most_borrowed_bytes(self, borrower: int | None) -> float:
        """Source: `tensor_size_supported` in ggml-vulkan.cpp."""
        gpu = None if borrower is None else self._hardware.gpus[borrower]
        if gpu is None or gpu.kind is not DeviceKind.VULKAN or gpu.max_alloc_bytes is None:
            return math.inf
        return gpu.max_alloc_bytes

    def _is_whole(self, split: Split) -> bool:
        """Whether the GPUs have everything. Several of them then work on several batches."""
        return split.n_gpu_layers > self._card.n_layer and not split.n_host_experts


def _one_buffer(n_bytes: int) -> Peak:
    return Peak(n_bytes, n_bytes)
