"""Owns the size of compute buffers: the graph of a full batch, laid out as ggml would.

Source: llama.cpp at the pinned version, `llama_context::sched_reserve` (which graph is measured)
and `llama_context::output_reserve` (the buffer for logits) in src/llama-context.cpp.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import partial

from backends.cache_types import cache_type
from backends.device import DeviceKind
from localr1.model_facts.card import ModelCard
from localr1.plan.attention_scratch import Scratch, scratch_of
from localr1.plan.chunks import memory
from localr1.plan.course import Course
from localr1.plan.decoder_graph import decoder_graph
from localr1.plan.engine_version import (
    casts_masks,
    gates_in_one_step,
    layers_on_gpus,
    reserves_attention_scratch,
)
from localr1.plan.graph import F32, Cells, Graph
from localr1.plan.graph_shape import GraphShape
from localr1.plan.kv_cache import effective_ubatch, n_cells, n_rows_of_cells
from localr1.plan.layer_tensors import LayerTensors, layer_tensors
from localr1.plan.offload import Split
from localr1.plan.request import PlanRequest
from localr1.plan.schedule import LayerPlaces, Layout, scheduled

CPU_ALIGNMENT = 32  # TENSOR_ALIGNMENT in ggml/src/ggml-impl.h
GPU_ALIGNMENT = 128  # ggml_backend_cuda_buffer_type_get_alignment
_ROTATED_HEAD = 64  # heads that this divides are rotated before they are quantised
_ENOUGH_LAYERS = 4  # where all are built alike, they find the same holes again


class BatchGraphs:
    """The graphs of one model's batches.

    `kinds` are those of the GPUs, `buffer_bytes` says how large one buffer of each may be. The
    number of tokens comes from the context: a short one makes batches short.
    """

    def __init__(
        self,
        card: ModelCard,
        request: PlanRequest,
        kinds: Sequence[DeviceKind],
        buffer_bytes: Sequence[int | None],
    ) -> None:
        self._card = card
        self._request = request
        on_host = partial(memory, CPU_ALIGNMENT, None)
        self._memories = [*(partial(memory, GPU_ALIGNMENT, n) for n in buffer_bytes), on_host]
        self._scratches = [self._scratch_of(kind) for kind in kinds]
        self._tensors = layer_tensors(card)
        built = _layer_kinds(card, self._tensors)
        self._alike = tuple(built.index(kind) for kind in built)
        """For each layer the first one that is built alike."""

    def n_tokens(self, n_ctx: int) -> int:
        """Tokens in a full batch, as many of each sequence."""
        n_seqs = self._request.n_seq_max
        return -(-effective_ubatch(self._request, n_ctx) // n_seqs) * n_seqs

    def cells(self, n_ctx: int) -> Cells:
        """KV cells of a layer that sees everything, and of one with a sliding window."""
        card, request = self._card, self._request
        full, windowed = (n_cells(card, request, n_ctx, is_swa=swa) for swa in (False, True))
        return full, windowed

    def on_cpu(self, n_tokens: int) -> Course:
        """The course of a batch when everything runs on the processor."""
        return Course(self._graph(n_tokens), self._memories[-1:])

    def on_gpu(self, n_tokens: int, kind: DeviceKind) -> Course:
        """The course on a GPU that runs the layers and the output."""
        graph = self._graph(n_tokens, has_embedding=False)
        return Course(graph, [partial(memory, GPU_ALIGNMENT, None)], [self._scratch_of(kind)])

    def on_each(self, n_tokens: int, layout: Layout) -> Course:
        """The course of a model that lies on several backends; the host's is last."""
        layers = [at.layer for at in layout.layers]
        graph = decoder_graph(self._card, self._shape(n_tokens), self._tensors, layers)
        return scheduled(graph, layout, self._memories, self._scratches)

    def layout(self, split: Split) -> Layout:
        """Where the layers lie, shortened: a few stand in for all of one kind in one place."""
        n_layer, build = self._card.n_layer, self._request.engine_build
        on_gpus = layers_on_gpus(split.n_gpu_layers, n_layer, build)
        host, start = len(split.layers), on_gpus.start
        chosen = [LayerPlaces(layer, host, host) for layer in self._enough(range(start))]
        for place, n in enumerate(split.layers):
            end = start + n
            first_whole = min(max(start, split.n_host_experts), end)
            for layers, experts in (
                (range(start, first_whole), host),
                (range(first_whole, end), place),
            ):
                chosen += [LayerPlaces(layer, place, experts) for layer in self._enough(layers)]
            start = end
        used = [place for place, n in enumerate(split.layers) if n]
        output = used[-1] if n_layer in on_gpus else host
        return Layout(tuple(chosen), output, host)

    def _scratch_of(self, kind: DeviceKind) -> Scratch | None:
        is_reserved = reserves_attention_scratch(self._request.engine_build)
        return scratch_of(kind) if is_reserved else None

    def _enough(self, layers: range) -> Sequence[int]:
        """The first of some layers, where the rest would only find the same holes again."""
        alike = self._alike[layers.start : layers.stop]
        n_enough = self._card.n_layer if _is_mixed(self._card) else _ENOUGH_LAYERS
        n_kept = max((alike.index(layer) for layer in set(alike)), default=0) + n_enough
        return alike if len(alike) <= n_kept else [*alike[: n_kept - 1], alike[-1]]

    def _graph(self, n_tokens: int, *, has_embedding: bool = True) -> Graph:
        n_enough = self._card.n_layer if _is_mixed(self._card) else _ENOUGH_LAYERS
        layers = range(min(self._card.n_layer, max(self._alike) + n_enough))
        return decoder_graph(
            self._card, self._shape(n_tokens), self._tensors, layers, has_embedding=has_embedding
        )

    def _shape(self, n_tokens: int) -> GraphShape:
        card, request = self._card, self._request
        return GraphShape(
            n_tokens=n_tokens,
            n_seqs=request.n_seq_max,
            n_outputs=min(n_tokens, request.n_outputs or n_tokens),
            flash_attn=request.uses_flash_attn,
            rotates_k=_is_rotated(request.type_k, card.head_dim_k),
            rotates_v=_is_rotated(request.type_v, card.head_dim_v),
            gates_in_one_step=gates_in_one_step(request.engine_build),
            casts_masks=casts_masks(request.engine_build, flash_attn=request.uses_flash_attn),
            type_k=cache_type(request.type_k),
            type_v=cache_type(request.type_v),
            n_rows=n_rows_of_cells(request),
        )


def output_bytes(card: ModelCard, request: PlanRequest) -> int:
    """Bytes of the buffer from which logits are read: one row per sequence."""
    return card.n_vocab * request.n_seq_max * F32


def _is_mixed(card: ModelCard) -> bool:
    """Whether windows or states take turns with attention: holes may never come back the same."""
    return card.n_swa > 0 or any(card.state_numbers)


def _is_rotated(type_name: str, head_dims: tuple[int, ...]) -> bool:
    same = len(set(head_dims)) == 1 and head_dims[0] > 0
    return same and cache_type(type_name).is_quantised and head_dims[0] % _ROTATED_HEAD == 0


def _layer_kinds(card: ModelCard, tensors: Sequence[LayerTensors]) -> list[Hashable]:
    """What makes the layers of a model differ: windows, heads, and the tensors they have."""
    return [
        (is_swa, n_head, n_head_kv, dim_k, dim_v, frozenset(layer.items()))
        for is_swa, n_head, n_head_kv, dim_k, dim_v, layer in zip(
            card.is_swa,
            card.n_head,
            card.n_head_kv,
            card.head_dim_k,
            card.head_dim_v,
            tensors,
            strict=True,
        )
    ]
