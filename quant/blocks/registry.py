"""Owns which kernel quantises which type, and where compiled kernels are kept.

Types that need no search are fast in llama.cpp already and are left to it; so is everything where
numba is not installed, with the same bytes. Blocks whose numbers leave what the lane kernels round
rightly (a range below a 16384th of the magnitude, magnitudes beyond 2**100) are marked by them, and
llama.cpp does their rows.

A kernel is compiled at its first use, which takes seconds; `prepare` does it beforehand, so that
the wait can be shown. Compiled code is kept on disk under a digest of this package's sources: a
kernel that calls into another module would otherwise outlive a change of that module.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from quant.errors import UnsupportedError

Floats: TypeAlias = npt.NDArray[np.float32]
Bytes: TypeAlias = npt.NDArray[np.uint8]
Kernel: TypeAlias = Callable[[Floats, Floats, Bytes, Bytes], None]
"""Flat rows, flat importance weights (or none), flat output, one flag per block for llama.cpp."""

_PACKAGE = Path(__file__).parent
_NO_IMPORTANCE = np.zeros(0, np.float32)


@dataclass(frozen=True, slots=True)
class BlockType:
    """A tensor type whose rows are whole blocks."""

    ggml_id: int
    n_weights: int
    n_bytes: int
    is_fast_in_llama_cpp: bool = False
    """Whether llama.cpp needs no help unless there are importance weights."""


BLOCK_TYPES = {
    "Q4_0": BlockType(2, 32, 18, is_fast_in_llama_cpp=True),
    "Q4_1": BlockType(3, 32, 20, is_fast_in_llama_cpp=True),
    "Q5_0": BlockType(6, 32, 22, is_fast_in_llama_cpp=True),
    "Q5_1": BlockType(7, 32, 24, is_fast_in_llama_cpp=True),
    "Q8_0": BlockType(8, 32, 34, is_fast_in_llama_cpp=True),
    "Q4_K": BlockType(12, 256, 144),
    "Q5_K": BlockType(13, 256, 176),
    "Q6_K": BlockType(14, 256, 210),
    "IQ4_NL": BlockType(20, 32, 18),
    "IQ4_XS": BlockType(23, 256, 136),
}
"""By the names of ggml. Source: llama.cpp ggml/include/ggml.h, ggml/src/ggml-common.h."""


def quantize(type_name: str, rows: Floats, importance: Floats | None = None) -> Bytes:
    """Rows as blocks of a type, on the calling thread and without the interpreter lock.

    Shapes: rows is (n_rows, n_per_row) of finite numbers; importance, one weight per column,
    is (n_per_row,); the result is (n_rows, bytes of a row).
    Raises: UnsupportedError for another type or rows that are not whole blocks.
    """
    block_type = _block_type(type_name, rows.shape[1])
    out = np.empty(
        (rows.shape[0], rows.shape[1] // block_type.n_weights * block_type.n_bytes), np.uint8
    )
    rows = np.ascontiguousarray(rows, np.float32)
    if importance is not None:
        importance = np.ascontiguousarray(importance, np.float32)
        if importance.shape != rows.shape[1:]:
            raise UnsupportedError(
                f"{rows.shape[1]} columns have {importance.size} importance weights"
            )
    kernel = lane_kernel(type_name, is_weighted=importance is not None)
    if kernel is None:
        _call_llama_cpp(block_type, rows, importance, out)
        return out
    is_odd = np.zeros(rows.size // block_type.n_weights, np.uint8)
    weights = _NO_IMPORTANCE if importance is None else importance
    kernel(rows.reshape(-1), weights, out.reshape(-1), is_odd)
    if is_odd.any():
        _redo(block_type, rows, importance, out, is_odd)
    return out


def prepare(type_name: str, cache_dir: Path | None = None, *, is_weighted: bool = False) -> None:
    """Compile the kernel of a type, or load it from the cache.

    The first call in a process decides where compiled code is kept: below `cache_dir`, else beside
    the sources, else, if that is read-only, where numba keeps it for the user.
    """
    if has_lanes():
        _choose_cache(cache_dir)
    block_type = BLOCK_TYPES[type_name]
    rows = np.zeros((1, block_type.n_weights), np.float32)
    quantize(type_name, rows, rows[0] if is_weighted else None)


def has_lanes() -> bool:
    """Whether numba is there to compile the lane kernels."""
    return importlib.util.find_spec("numba") is not None


def lane_kernel(type_name: str, *, is_weighted: bool) -> Kernel | None:
    """The kernel that works across lanes, or None where llama.cpp does the work."""
    if not has_lanes() or (BLOCK_TYPES[type_name].is_fast_in_llama_cpp and not is_weighted):
        return None
    _choose_cache(None)
    from quant.blocks import first_generation, iq4, k_quants, q6_k

    symmetric, affine = first_generation.encode_symmetric, first_generation.encode_affine
    kernels: dict[str, Kernel] = {
        "Q4_0": lambda rows, weights, out, _: symmetric(rows, weights, 4, out),
        "Q4_1": lambda rows, weights, out, odd: affine(rows, weights, 4, out, odd),
        "Q5_0": lambda rows, weights, out, _: symmetric(rows, weights, 5, out),
        "Q5_1": lambda rows, weights, out, odd: affine(rows, weights, 5, out, odd),
        "Q4_K": lambda rows, weights, out, odd: k_quants.encode(rows, weights, 4, out, odd),
        "Q5_K": lambda rows, weights, out, odd: k_quants.encode(rows, weights, 5, out, odd),
        "Q6_K": lambda rows, weights, out, _: q6_k.encode(rows, weights, out),
        "IQ4_NL": lambda rows, weights, out, _: iq4.encode(rows, weights, 1, out),
        "IQ4_XS": lambda rows, weights, out, _: iq4.encode(rows, weights, 8, out),
    }
    return kernels.get(type_name)


def _block_type(type_name: str, n_per_row: int) -> BlockType:
    if type_name not in BLOCK_TYPES:
        raise UnsupportedError(
            f"no kernel for type {type_name}", hint=f"use one of: {', '.join(BLOCK_TYPES)}"
        )
    n_weights = BLOCK_TYPES[type_name].n_weights
    if n_per_row == 0 or n_per_row % n_weights:
        raise UnsupportedError(
            f"rows of {n_per_row} weights are not whole {type_name} blocks of {n_weights}"
        )
    return BLOCK_TYPES[type_name]


@functools.cache
def _choose_cache(cache_dir: Path | None) -> None:
    import numba

    if not numba.config.CACHE_DIR:
        sources = b"".join(path.read_bytes() for path in sorted(_PACKAGE.glob("*.py")))
        digest = hashlib.sha256(sources).hexdigest()[:16]
        numba.config.CACHE_DIR = str((cache_dir or _PACKAGE / "__pycache__") / f"kernels-{digest}")


def _redo(
    block_type: BlockType, rows: Floats, importance: Floats | None, out: Bytes, is_odd: Bytes
) -> None:
    # Whole rows: with importance weights some types look at a row's mean square.
    for i in np.flatnonzero(is_odd.reshape(rows.shape[0], -1).any(axis=1)):
        _call_llama_cpp(block_type, rows[i : i + 1], importance, out[i])


def _call_llama_cpp(
    block_type: BlockType, rows: Floats, importance: Floats | None, out: Bytes
) -> None:
    from quant.kernels import _ggml_quantize_chunk

    weights = None if importance is None else importance.ctypes.data
    _ggml_quantize_chunk()(
        block_type.ggml_id, rows.ctypes.data, out.ctypes.data, 0, *rows.shape, weights
    )
