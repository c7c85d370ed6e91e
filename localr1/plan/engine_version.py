"""Owns what other versions of llama.cpp did differently from the one this planner mirrors.

A published load, or another program's engine, may be older. Build numbers are those of the tags
around the pull request that is named; None is the pinned version.
"""

from __future__ import annotations

_MIRRORED_ENGINE = "llama-cpp-python 0.3.36"

_PIPELINES = 2409  # pull request 6017, March 2024
_LESS_PADDING = 2883  # pull request 7257, May 2024: 32 cells without flash attention
_SEPARATE_SEQUENCES = 5918  # pull request 14363, July 2025: each sequence has its part of the cells
_NO_PADDING = 6872  # pull request 16812, October 2025
_PADDING_AGAIN = 6988  # pull request 17046, November 2025
_GATES_IN_ONE_STEP = 5782  # pull request 14158, end of June 2025: one operation instead of two
_CHUNKS = 6569  # pull request 15815, September 2025: compute buffers in several pieces
_OUTPUT_FIRST = 7466  # pull request 18148, December 2025: the output layer goes to a GPU first
_ROWS_ON_HOST = 8637  # April 2026, with Gemma 4; in July 2025 they lay on the GPU (issue 14698)
_HALF_MASKS = 9200  # pull request 23764, end of May 2026: masks in half precision from the start
_WINDOWED_CACHE = 5429  # pull request 13194, May 2025: small caches for sliding windows


def engine_name(build: int | None) -> str:
    """What the plan is for, in words."""
    return _MIRRORED_ENGINE if build is None else f"llama.cpp b{build}"


def cell_step(build: int | None, *, flash_attn: bool) -> int:
    """The number of cells that a cache is rounded up to."""
    if build is None or build >= _PADDING_AGAIN or build < _LESS_PADDING:
        return 256
    if build >= _NO_PADDING:
        return 1
    return 256 if flash_attn else 32


def shares_cells(build: int | None) -> bool:
    """Whether all sequences live in one row of cells, whatever is asked for."""
    return build is not None and build < _SEPARATE_SEQUENCES


def has_windowed_caches(build: int | None) -> bool:
    """Whether layers with a sliding window cache the window only."""
    return build is None or build >= _WINDOWED_CACHE


def pipelines(build: int | None) -> bool:
    """Whether several GPUs that hold everything work on several batches at once."""
    return build is None or build >= _PIPELINES


def casts_masks(build: int | None, *, flash_attn: bool) -> bool:
    """Whether masks are made in single precision and turned into half for flash attention."""
    return flash_attn and build is not None and build < _HALF_MASKS


def gates_in_one_step(build: int | None) -> bool:
    """Whether a gate is applied by one operation into memory of its own, not by two in place."""
    return build is None or build >= _GATES_IN_ONE_STEP


def layers_on_gpus(n_gpu_layers: int, n_layer: int, build: int | None) -> range:
    """Which layers lie on GPUs if `n_gpu_layers` do; the output layer is number `n_layer`.

    They are the last ones; but older versions move the output layer when all others are there.
    """
    is_older = build is not None and build < _OUTPUT_FIRST
    end = n_layer if is_older and 0 < n_gpu_layers <= n_layer else n_layer + 1
    return range(end - n_gpu_layers, end)


def splits_compute_buffers(build: int | None) -> bool:
    """Whether a compute buffer becomes several, where the backend wants none to be larger."""
    return build is None or build >= _CHUNKS


def reserves_attention_scratch(build: int | None) -> bool:
    """Whether GPUs reserve what flash attention computes with, rather than take it as they run.

    Of older versions it is not known since when, and not counted (Metal: pull request 27390).
    """
    return build is None


def keeps_rows_on_host(build: int | None) -> bool:
    """Whether the rows that each layer of Gemma 3n looks up stay with the token embedding."""
    return build is None or build >= _ROWS_ON_HOST
