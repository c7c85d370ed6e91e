"""Owns which compute buffers a split needs: those of the GPUs, and the host's. Pure.

Source: llama.cpp at the pinned version: `llama_context` decides about pipelining and norms
(src/llama-context.cpp), `ggml_backend_sched_backend_id_from_cur` about `op_offload`
(ggml/src/ggml-backend.cpp); `offload_op` in ggml/src/ggml-{cuda,vulkan,sycl,metal}, which RPC
devices have not (ggml/src/ggml-rpc/ggml-rpc.cpp).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from backends.device import DeviceKind
from localr1.model_facts.card import ModelCard
from localr1.plan.arena import Peak
from localr1.plan.compute import BatchGraphs
from localr1.plan.engine_version import pipelines, splits_compute_buffers
from localr1.plan.graph import F32, I32
from localr1.plan.hardware import Hardware
from localr1.plan.kv_cache import effective_ubatch
from localr1.plan.offload import Split
from localr1.plan.request import PlanRequest
from localr1.plan.schedule import LONG_BATCH, Layout

_NOTHING = Peak(0, 0)


class ComputeBuffers:
    """The compute buffers of one model on given hardware, for any context and any split."""

    def __init__(self, card: ModelCard, request: PlanRequest, hardware: Hardware) -> None:
        self._card = card
        self._request = request
        self._hardware = hardware
        is_split = splits_compute_buffers(request.engine_build)
        self._buffer_bytes = tuple(gpu.buffer_bytes if is_split else None for gpu in hardware.gpus)
        # a search asks for many contexts and splits, for which the same few graphs hold
        kinds = [gpu.kind for gpu in hardware.gpus]
        self._graphs = BatchGraphs(card, request, kinds, self._buffer_bytes)
        self._gpu = lru_cache(self._graphs.on_gpu)
        self._cpu = lru_cache(self._graphs.on_cpu)
        self._each = lru_cache(self._graphs.on_each)

    def on_gpus(self, n_ctx: int, split: Split) -> Sequence[Peak]:
        """What each GPU needs."""
        if not split.n_gpu_layers:
            return [_NOTHING] * len(split.layers)
        if self._is_fed(n_ctx, split):
            peak = self._on_gpu(n_ctx, split)
            return [peak if n else _NOTHING for n in split.layers]
        return self._on_each(n_ctx, split)[:-1]

    def host_bytes(self, n_ctx: int, split: Split) -> int:
        """What the host needs."""
        n_tokens, cells = self._graphs.n_tokens(n_ctx), self._graphs.cells(n_ctx)
        if not split.n_gpu_layers:
            return self._cpu(n_tokens).peaks(cells)[0].n_bytes
        if self._is_fed(n_ctx, split):
            # every input of the GPU's graph, tokens, and rows of the embedding
            fed_bytes = n_tokens * (I32 + self._card.n_embd * F32)
            return self._gpu(n_tokens, self._kind(split)).inputs_bytes(cells) + fed_bytes
        return self._on_each(n_ctx, split)[-1].n_bytes

    def _is_fed(self, n_ctx: int, split: Split) -> bool:
        """Whether one GPU computes everything, in one buffer, and the host feeds it."""
        used = [i for i, n in enumerate(split.layers) if n]
        if len(used) != 1 or not self._is_whole(split) or self._hardware.is_remote:
            return False
        max_bytes = self._buffer_bytes[used[0]]
        return max_bytes is None or self._on_gpu(n_ctx, split).n_bytes <= max_bytes

    def _on_gpu(self, n_ctx: int, split: Split) -> Peak:
        course = self._gpu(self._graphs.n_tokens(n_ctx), self._kind(split))
        return course.peaks(self._graphs.cells(n_ctx))[0]

    def _kind(self, split: Split) -> DeviceKind:
        """Of the first GPU in use."""
        return next(gpu.kind for gpu, n in zip(self._hardware.gpus, split.layers, strict=True) if n)

    def _on_each(self, n_ctx: int, split: Split) -> tuple[Peak, ...]:
        course = self._each(self._graphs.n_tokens(n_ctx), self._layout(n_ctx, split))
        return course.peaks(self._graphs.cells(n_ctx))

    def of_helper(self, n_ctx: int) -> int:
        """Bytes on the first GPU if it holds no layer, but multiplies long batches for the host.

        llama.cpp's own programs work so with no layers on GPUs; localr1 leaves such a GPU alone.
        """
        nowhere = Split((0,) * len(self._hardware.gpus))
        return self._on_each(n_ctx, nowhere)[0].n_bytes

    def _layout(self, n_ctx: int, split: Split) -> Layout:
        is_long = effective_ubatch(self._request, n_ctx) >= LONG_BATCH
        n_used = sum(n > 0 for n in split.layers)
        can_overlap = n_used > 1 and pipelines(self._request.engine_build)
        borrower = self._borrower(split)
        return replace(
            self._graphs.layout(split),
            is_pipelined=can_overlap and self._is_whole(split),
            keeps_norms=not is_long or split.n_gpu_layers > self._card.n_layer,
            borrower=borrower,
            most_borrowed_bytes=self._most_borrowed_bytes(borrower),
            borrows_products_only=any(g.kind is DeviceKind.METAL for g in self._hardware.gpus),
        )

    def _borrower(self, split: Split) -> int | None:
        """The first GPU in use that multiplies with the host's matrices; None if none does."""
        is_idle = not any(split.layers)
        gpus = zip(self._hardware.gpus, split.layers, strict=True)
        return next(
            (
                i
                for i, (gpu, n) in enumerate(gpus)
                if (n or is_idle) and gpu.kind is not DeviceKind.RPC
            ),
            None,
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
