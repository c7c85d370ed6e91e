"""Owns the size of compute buffers: the graph of a full batch, laid out as ggml would.

Source: llama.cpp at the pinned version, `llama_context::sched_reserve` (which graph is measured)
and `llama_context::output_reserve` (the buffer for logits) in src/llama-context.cpp.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace

from backends.cache_types import cache_type
from localr1.model_facts.card import ModelCard
from localr1.plan.chunks import memory
from localr1.plan.decoder_graph import decoder_graph
from localr1.plan.engine_version import casts_masks, gates_in_one_step
from localr1.plan.graph import F32, Peak, peak_bytes
from localr1.plan.graph_shape import GraphShape
from localr1.plan.kv_cache import effective_ubatch, n_cells, n_rows_of_cells
from localr1.plan.layer_tensors import layer_tensors
from localr1.plan.offload import Split
from localr1.plan.request import PlanRequest
from localr1.plan.schedule import LayerPlaces, Layout, scheduled

CPU_ALIGNMENT = 32  # TENSOR_ALIGNMENT in ggml/src/ggml-impl.h
GPU_ALIGNMENT = 128  # ggml_backend_cuda_buffer_type_get_alignment
_ROTATED_HEAD = 64  # heads that this divides are rotated before they are quantised
_ENOUGH_LAYERS = 4  # where all are built alike, they find the same holes again


def cpu_compute_bytes(card: ModelCard, request: PlanRequest, n_ctx: int) -> int:
    """Bytes of the compute buffer when everything runs on the processor."""
    shape = _shape(card, request, n_ctx)
    return peak_bytes(decoder_graph(shortened(card), shape), CPU_ALIGNMENT)


def gpu_compute_bytes(card: ModelCard, request: PlanRequest, n_ctx: int) -> int:
    """Bytes of the compute buffer of a GPU that runs the layers and the output."""
    shape = _shape(card, request, n_ctx)
    return peak_bytes(decoder_graph(shortened(card), shape, has_embedding=False), GPU_ALIGNMENT)


def staging_bytes(card: ModelCard, request: PlanRequest, n_ctx: int) -> int:
    """Bytes on the host for what one GPU is fed: every input of the graph, and embedding rows."""
    shape = _shape(card, request, n_ctx)
    inputs = decoder_graph(shortened(card), shape).inputs
    return sum(tensor.n_bytes for tensor in inputs) + shape.n_tokens * card.n_embd * F32


def split_compute_peaks(
    card: ModelCard,
    request: PlanRequest,
    n_ctx: int,
    layout: Layout,
    buffer_bytes: Sequence[int | None],
) -> tuple[Peak, ...]:
    """The compute buffers of a model that lies on several backends; the host's is last.

    `buffer_bytes` says of each GPU how large one buffer may be.
    """
    graph = decoder_graph(
        card, _shape(card, request, n_ctx), layers=[at.layer for at in layout.layers]
    )
    memories = [memory(GPU_ALIGNMENT, max_bytes) for max_bytes in buffer_bytes]
    return scheduled(graph, layout, [*memories, memory(CPU_ALIGNMENT, None)])


def layout_of(card: ModelCard, alike: Sequence[int], split: Split, on_gpus: range) -> Layout:
    """The layout of a model that is split so, shortened; `on_gpus` are the layers on any GPU.

    `alike` is what `first_alike` says: a few layers stand in for all of one kind in one place.
    """
    host, start = len(split.layers), on_gpus.start
    chosen = [LayerPlaces(layer, host, host) for layer in _enough(card, alike[:start])]
    for place, n in enumerate(split.layers):
        end = start + n
        first_whole = min(max(start, split.n_host_experts), end)
        for layers, experts in (
            (range(start, first_whole), host),
            (range(first_whole, end), place),
        ):
            kinds = alike[layers.start : layers.stop]
            chosen += [LayerPlaces(layer, place, experts) for layer in _enough(card, kinds)]
        start = end
    used = [place for place, n in enumerate(split.layers) if n]
    output = used[-1] if card.n_layer in on_gpus else host
    return Layout(tuple(chosen), output, host)


def first_alike(card: ModelCard) -> tuple[int, ...]:
    """For each layer the first one that is built alike."""
    kinds = _layer_kinds(card)
    return tuple(kinds.index(kind) for kind in kinds)


def _enough(card: ModelCard, layers: Sequence[int]) -> Sequence[int]:
    """The first of some layers, where the rest would only find the same holes again."""
    n_enough = card.n_layer if _is_mixed(card) else _ENOUGH_LAYERS
    n_kept = max((layers.index(layer) for layer in layers), default=0) + n_enough
    return layers if len(layers) <= n_kept else [*layers[: n_kept - 1], layers[-1]]


def output_bytes(card: ModelCard, request: PlanRequest) -> int:
    """Bytes of the buffer from which logits are read: one row per sequence."""
    return card.n_vocab * request.n_seq_max * F32


def shortened(card: ModelCard) -> ModelCard:
    """The first layers, where the rest would only find the same holes again.

    Whoever sizes one model many times shortens it first: a short one is not looked through again.
    """
    kinds = _layer_kinds(card)
    n_enough = card.n_layer if _is_mixed(card) else _ENOUGH_LAYERS
    n_layer = min(card.n_layer, max(kinds.index(kind) for kind in set(kinds)) + n_enough)
    if n_layer == card.n_layer:
        return card
    later = tuple(f"blk.{i_layer}." for i_layer in range(n_layer, card.n_layer))
    return replace(
        card,
        n_layer=n_layer,
        n_ff=card.n_ff[:n_layer],
        n_head=card.n_head[:n_layer],
        n_head_kv=card.n_head_kv[:n_layer],
        head_dim_k=card.head_dim_k[:n_layer],
        head_dim_v=card.head_dim_v[:n_layer],
        is_swa=card.is_swa[:n_layer],
        has_kv=card.has_kv[:n_layer],
        state_numbers=card.state_numbers[:n_layer],
        tensors=tuple(tensor for tensor in card.tensors if not tensor.name.startswith(later)),
    )


def _is_mixed(card: ModelCard) -> bool:
    """Whether windows or states take turns with attention: holes may never come back the same."""
    return card.n_swa > 0 or any(card.state_numbers)


def _shape(card: ModelCard, request: PlanRequest, n_ctx: int) -> GraphShape:
    k_type, v_type = cache_type(request.type_k), cache_type(request.type_v)
    n_tokens = effective_ubatch(request, n_ctx)
    n_tokens = -(-n_tokens // request.n_seq_max) * request.n_seq_max
    return GraphShape(
        n_tokens=n_tokens,
        n_seqs=request.n_seq_max,
        n_outputs=min(n_tokens, request.n_outputs or n_tokens),
        n_cells=n_cells(card, request, n_ctx, is_swa=False),
        n_cells_swa=n_cells(card, request, n_ctx, is_swa=True),
        flash_attn=request.uses_flash_attn,
        rotates_k=_is_rotated(request.type_k, card.head_dim_k),
        rotates_v=_is_rotated(request.type_v, card.head_dim_v),
        gates_in_one_step=gates_in_one_step(request.engine_build),
        casts_masks=casts_masks(request.engine_build, flash_attn=request.uses_flash_attn),
        k_block=(k_type.block_elements, k_type.block_bytes),
        v_block=(v_type.block_elements, v_type.block_bytes),
        n_rows=n_rows_of_cells(request),
    )


def _is_rotated(type_name: str, head_dims: tuple[int, ...]) -> bool:
    same = len(set(head_dims)) == 1 and head_dims[0] > 0
    return same and cache_type(type_name).is_quantised and head_dims[0] % _ROTATED_HEAD == 0


def _layer_kinds(card: ModelCard) -> list[Hashable]:
    """What makes the layers of a model differ: windows, heads, and the tensors they have."""
    return [
        (is_swa, n_head, n_head_kv, dim_k, dim_v, frozenset(layer.items()))
        for is_swa, n_head, n_head_kv, dim_k, dim_v, layer in zip(
            card.is_swa,
            card.n_head,
            card.n_head_kv,
            card.head_dim_k,
            card.head_dim_v,
            layer_tensors(card),
            strict=True,
        )
    ]
