"""Owns the room that GPUs want behind the result of flash attention, for what they compute with.

ggml asks each backend how large a result has to be. CUDA's kernels for batches read keys and values
in half precision only: of a cache in another type they keep a copy, of one layer, as long as the
context. Metal keeps such a copy always, and partial results of its threads. Read from the source,
not measured. Mirrors `ggml_cuda_flash_attn_ext_get_alloc_size` (ggml/src/ggml-cuda/fattn.cu, also
built for ROCm) and `ggml_metal_op_flash_attn_ext_extra_*` (ggml/src/ggml-metal/ggml-metal-ops.cpp)
of llama.cpp at the pinned version. Vulkan, SYCL and the processor ask for nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from backends.cache_types import CACHE_TYPES, CacheType
from backends.device import DeviceKind
from localr1.plan.graph import F16, F32, Attended, Cells

Scratch = Callable[[Attended, Cells], int]
"""Bytes behind the result, with that many cells."""

_HALF = CACHE_TYPES["f16"]
_CUDA_ALIGNMENT = 128
_CUDA_FEWEST_TOKENS = 3  # up to two, a kernel reads the cache's own type
_METAL_ALIGNMENT = 16
_METAL_BLOCKS_ALIGNMENT = 32
_METAL_FEWEST_TOKENS = 32  # for fewer, a quantised cache is not copied
_METAL_CELLS_AT_ONCE = 64  # OP_FLASH_ATTN_EXT_NCPSG
_METAL_TOKENS_AT_ONCE = 8  # OP_FLASH_ATTN_EXT_NQPSG
_METAL_GROUPS = 32


def scratch_of(kind: DeviceKind) -> Scratch | None:
    """What a kind of device wants; None for nothing."""
    return _SCRATCHES.get(kind)


def _cuda(of: Attended, cells: Cells) -> int:
    if of.n_tokens < _CUDA_FEWEST_TOKENS:
        return 0
    n_bytes = 0
    if of.type_k != _HALF:
        n_bytes += _CUDA_ALIGNMENT + of.dim_k * _n_rows(of, cells) * F16
    if of.type_v != _HALF and not of.values_are_keys:
        n_bytes += _CUDA_ALIGNMENT + of.dim_v * _n_rows(of, cells) * F16
    return n_bytes


def _metal(of: Attended, cells: Cells) -> int:
    n_rows = _n_rows(of, cells)
    copied = _padded(of.dim_k * n_rows * F16, _METAL_ALIGNMENT)
    if not of.values_are_keys:
        copied += _padded(of.dim_v * n_rows * F16, _METAL_ALIGNMENT)
    return copied + _metal_ends(of) + _metal_blocks(of, cells) + _metal_partial_results(of)


def _metal_ends(of: Attended) -> int:
    """The last cells of keys, values and mask, filled up to a whole group."""
    if of.type_k.is_quantised and of.n_tokens // of.n_rows >= _METAL_FEWEST_TOKENS:
        stride_k, stride_v = of.dim_k * F16, of.dim_v * F16
    else:
        stride_k = _row_bytes(of.type_k, of.dim_k * of.n_head_kv)
        stride_v = _row_bytes(of.type_v, of.dim_v * of.n_head_kv)
    if of.values_are_keys:
        stride_v = stride_k
    width = of.n_head_kv * of.n_rows
    return _METAL_CELLS_AT_ONCE * ((stride_k + stride_v) * width + of.n_tokens * F16)


def _metal_blocks(of: Attended, cells: Cells) -> int:
    """A byte for each group of tokens and group of cells: whether the mask hides all of it."""
    n_cells, n_tokens = cells[-1 - of.cells], of.n_tokens // of.n_rows
    groups = -(-n_cells // _METAL_CELLS_AT_ONCE) * -(-n_tokens // _METAL_TOKENS_AT_ONCE)
    return _padded(groups * of.n_rows, _METAL_BLOCKS_ALIGNMENT)


def _metal_partial_results(of: Attended) -> int:
    n_tokens = min(of.n_tokens // of.n_rows, _METAL_GROUPS) * of.n_rows
    return n_tokens * of.n_head * _METAL_GROUPS * (of.dim_v + 2) * F32


def _n_rows(of: Attended, cells: Cells) -> int:
    """Vectors of one head, over all heads and cells."""
    return cells[-1 - of.cells] * of.n_head_kv * of.n_rows


def _row_bytes(of: CacheType, n: int) -> int:
    return n // of.block_elements * of.block_bytes


def _padded(n_bytes: int, alignment: int) -> int:
    return -(-n_bytes // alignment) * alignment


_SCRATCHES: dict[DeviceKind, Scratch] = {
    DeviceKind.CUDA: _cuda,
    DeviceKind.ROCM: _cuda,
    DeviceKind.METAL: _metal,
}
