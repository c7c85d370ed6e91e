"""Owns the size of what a model remembers: cells, layers and element types; recurrent states.

Source: llama.cpp at the pinned version, constructors in src/llama-kv-cache.cpp and
src/llama-kv-cache-iswa.cpp; padding of the context in src/llama-context.cpp.
"""

from __future__ import annotations

from collections.abc import Iterable

from backends.cache_types import CacheType, cache_type
from backends.errors import UnsupportedParametersError
from localr1.model_facts.card import ModelCard
from localr1.plan.engine_version import cell_step, has_windowed_caches, shares_cells
from localr1.plan.request import PlanRequest

CELL_STEP = 256
"""llama.cpp rounds every cache up to this many cells."""


def padded_cells(n_tokens: int, request: PlanRequest | None = None) -> int:
    """The context as llama.cpp rounds it; a request may be for an older one."""
    step = CELL_STEP
    if request is not None:
        step = cell_step(request.engine_build, flash_attn=request.uses_flash_attn)
    return -(-n_tokens // step) * step


def n_rows_of_cells(request: PlanRequest) -> int:
    """1 if all sequences share the cells of a layer, else one row of cells for each."""
    is_shared = request.kv_unified or shares_cells(request.engine_build)
    return 1 if is_shared else request.n_seq_max


def n_cells(card: ModelCard, request: PlanRequest, n_ctx: int, *, is_swa: bool) -> int:
    """Cells of one layer in one row of them.

    A sliding-window layer needs the windows and one batch, unless the request wants it full-size.
    """
    n_rows = n_rows_of_cells(request)
    every_token = padded_cells(padded_cells(n_ctx, request) // n_rows, request)
    if not is_swa or request.swa_full or not has_windowed_caches(request.engine_build):
        return every_token
    n_windowed = card.n_swa * request.n_seq_max // n_rows + effective_ubatch(request, n_ctx)
    return padded_cells(min(every_token, n_windowed), request)


def effective_ubatch(request: PlanRequest, n_ctx: int) -> int:
    """Tokens computed at once: never more than the batch or the context."""
    return min(request.n_ubatch, request.n_batch, n_ctx)


def kv_bytes_per_layer(card: ModelCard, request: PlanRequest, n_ctx: int) -> tuple[int, ...]:
    """Bytes of K and V of each layer, over all sequences.

    Raises: as `cache_bytes_per_layer`.
    """
    return tuple(map(sum, cache_bytes_per_layer(card, request, n_ctx)))


def cache_bytes_per_layer(
    card: ModelCard, request: PlanRequest, n_ctx: int
) -> tuple[tuple[int, int], ...]:
    """The same apart: llama.cpp makes one tensor for K and one for V.

    Raises: UnsupportedParametersError if a head is no whole number of the cache type's blocks, or
    if the two types differ where there is one cache for both.
    """
    for name, dims in ((request.type_k, card.head_dim_k), (request.type_v, card.head_dim_v)):
        if not holds(name, dims):
            raise UnsupportedParametersError(
                f"a {name} cache cannot hold heads of {max(dims)} numbers, no whole blocks",
                hint="use f16",
            )
    if any(card.head_dim_k) and not any(card.head_dim_v) and request.type_k != request.type_v:
        raise UnsupportedParametersError(
            f"{card.arch} keeps keys and values in one cache, so they cannot be "
            f"{request.type_k} and {request.type_v}",
            hint=f"use --kv {request.type_k}",
        )
    max_v_width = max(map(int.__mul__, card.n_head_kv, card.head_dim_v))
    n_rows = n_rows_of_cells(request)
    full, windowed = (n_rows * n_cells(card, request, n_ctx, is_swa=swa) for swa in (False, True))
    type_k, type_v = cache_type(request.type_k), cache_type(request.type_v)
    sizes = []
    for i_layer in range(card.n_layer):
        if not card.has_kv[i_layer]:
            sizes.append((0, 0))
            continue
        cells = windowed if card.is_swa[i_layer] else full
        k_width = card.n_head_kv[i_layer] * card.head_dim_k[i_layer]
        v_width = card.n_head_kv[i_layer] * card.head_dim_v[i_layer]
        if v_width and not request.uses_flash_attn:
            v_width = max_v_width  # V lies transposed, and all layers share one stride
        row_bytes = _row_bytes(type_k, k_width), _row_bytes(type_v, v_width)
        sizes.append((row_bytes[0] * cells, row_bytes[1] * cells))
    return tuple(sizes)


def state_bytes_per_layer(card: ModelCard, request: PlanRequest) -> tuple[int, ...]:
    """Bytes of recurrent state of each layer, over all sequences: it does not grow with context.

    Source: src/llama-memory-recurrent.cpp.
    """
    return tuple(4 * n_numbers * request.n_seq_max for n_numbers in card.state_numbers)


def holds(type_name: str, head_dims: Iterable[int]) -> bool:
    """Whether heads of these widths can be cached in that type."""
    block_elements = cache_type(type_name).block_elements
    return all(dim % block_elements == 0 for dim in set(head_dims))


def _row_bytes(kind: CacheType, width: int) -> int:
    return width // kind.block_elements * kind.block_bytes
