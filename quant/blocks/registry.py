"""Owns which kernel quantises which type, and from when on.

llama.cpp can do every type and does, until a lane kernel has been loaded: the bytes are the same,
so rows may change hands in the middle of a tensor. Types that need no search are fast there already
and stay with it. Blocks whose numbers leave what the lane kernels round rightly (a range below a
16384th of the magnitude, magnitudes beyond 2**100) are marked by them, and llama.cpp does the rows.

Loading compiles, which takes seconds, unless the compiled code is on the disk; `preparation` does
it beside the work. A kernel that gives other bytes than the llama.cpp at hand (which may have been
built with fused multiply-add) is not used.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import TypeAlias

import numpy as np

from quant.blocks.reference import Bytes, Floats, quantize_chunk
from quant.errors import UnsupportedError
from quant.gguf.types import TensorType

Encode: TypeAlias = Callable[[Floats, Floats, Bytes, Bytes], None]
"""Flat rows, flat importance weights (or none), flat output, one flag per block for llama.cpp."""


class Kernel(StrEnum):
    """What is compiled as a whole; several types may share it."""

    K_QUANTS = "k_quants"
    Q6_K = "q6_k"
    IQ4 = "iq4"
    SYMMETRIC = "symmetric"
    AFFINE = "affine"


_KERNEL_OF = {
    TensorType.Q4_0: Kernel.SYMMETRIC,
    TensorType.Q4_1: Kernel.AFFINE,
    TensorType.Q5_0: Kernel.SYMMETRIC,
    TensorType.Q5_1: Kernel.AFFINE,
    TensorType.Q4_K: Kernel.K_QUANTS,
    TensorType.Q5_K: Kernel.K_QUANTS,
    TensorType.Q6_K: Kernel.Q6_K,
    TensorType.IQ4_NL: Kernel.IQ4,
    TensorType.IQ4_XS: Kernel.IQ4,
}

_FAST_UNLESS_WEIGHTED = {TensorType.Q4_0, TensorType.Q4_1, TensorType.Q5_0, TensorType.Q5_1}
"""In llama.cpp, which searches for a scale here only if there are importance weights."""

TYPES = (*_KERNEL_OF, TensorType.Q8_0, TensorType.MXFP4)
"""What `quantize` can make."""

_NO_IMPORTANCE = np.zeros(0, np.float32)
_SAMPLE_SHAPE = (32, 1024)

_loaded: dict[TensorType, Encode] = {}


def quantize(tensor_type: TensorType, rows: Floats, importance: Floats | None = None) -> Bytes:
    """Rows as blocks of a type, on the calling thread and without the interpreter lock.

    Shapes: rows is (n_rows, n_cols) of finite numbers; importance, one weight per column, is
    (n_cols,); the result is (n_rows, bytes of a row).
    Raises: UnsupportedError for another type or rows that are not whole blocks.
    """
    _require_whole_blocks(tensor_type, rows, importance)
    rows = np.ascontiguousarray(rows, np.float32)
    if importance is not None:
        importance = np.ascontiguousarray(importance, np.float32)
    out = np.empty((rows.shape[0], tensor_type.n_bytes(rows.shape[1])), np.uint8)
    kernel = kernel_for(tensor_type, is_weighted=importance is not None)
    encode = _loaded.get(tensor_type) if kernel is not None else None
    if encode is None:
        quantize_chunk(tensor_type, rows, importance, out)
    else:
        _run(encode, tensor_type, rows, importance, out)
    return out


def kernel_for(tensor_type: TensorType, *, is_weighted: bool) -> Kernel | None:
    """The lane kernel of a type, or None where llama.cpp needs no help."""
    if tensor_type in _FAST_UNLESS_WEIGHTED and not is_weighted:
        return None
    return _KERNEL_OF.get(tensor_type)


def load(kernel: Kernel) -> bool:
    """Compile a kernel, or load it from the disk, and use it from now on if its bytes are right.

    Returns whether it is in use. See `compiled_code.keep_below` for where compiled code is kept.
    Raises: ImportError without numba, and whatever else a compiler may find wrong.
    """
    encoders = {
        tensor_type: encode
        for tensor_type, encode in _encoders().items()
        if _KERNEL_OF[tensor_type] is kernel
    }
    if not all(_agrees(*item) for item in encoders.items()):
        return False
    _loaded.update(encoders)
    return True


def _encoders() -> dict[TensorType, Encode]:
    from quant.blocks import first_generation, iq4, k_quants, q6_k

    symmetric, affine = first_generation.encode_symmetric, first_generation.encode_affine
    k_quant, six, iq = k_quants.encode, q6_k.encode, iq4.encode
    return {
        TensorType.Q4_0: lambda rows, weights, out, _: symmetric(rows, weights, 4, out),
        TensorType.Q4_1: lambda rows, weights, out, odd: affine(rows, weights, 4, out, odd),
        TensorType.Q5_0: lambda rows, weights, out, _: symmetric(rows, weights, 5, out),
        TensorType.Q5_1: lambda rows, weights, out, odd: affine(rows, weights, 5, out, odd),
        TensorType.Q4_K: lambda rows, weights, out, odd: k_quant(rows, weights, 4, out, odd),
        TensorType.Q5_K: lambda rows, weights, out, odd: k_quant(rows, weights, 5, out, odd),
        TensorType.Q6_K: lambda rows, weights, out, _: six(rows, weights, out),
        TensorType.IQ4_NL: lambda rows, weights, out, _: iq(rows, weights, 1, out),
        TensorType.IQ4_XS: lambda rows, weights, out, _: iq(rows, weights, 8, out),
    }


def _agrees(tensor_type: TensorType, encode: Encode) -> bool:
    """Whether the bytes of a sample are those of the llama.cpp at hand."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal(_SAMPLE_SHAPE, dtype=np.float32)
    importance = rng.standard_exponential(_SAMPLE_SHAPE[1], dtype=np.float32)
    for weights in (None, importance):
        if kernel_for(tensor_type, is_weighted=weights is not None) is None:
            continue
        ours, theirs = (
            np.empty((rows.shape[0], tensor_type.n_bytes(rows.shape[1])), np.uint8)
            for _ in range(2)
        )
        _run(encode, tensor_type, rows, weights, ours)
        quantize_chunk(tensor_type, rows, weights, theirs)
        if not np.array_equal(ours, theirs):
            return False
    return True


def _run(
    encode: Encode, tensor_type: TensorType, rows: Floats, importance: Floats | None, out: Bytes
) -> None:
    is_odd = np.zeros(rows.size // tensor_type.block_weights, np.uint8)
    weights = _NO_IMPORTANCE if importance is None else importance
    encode(rows.reshape(-1), weights, out.reshape(-1), is_odd)
    # Whole rows: with importance weights some types look at a row's mean square.
    for i in np.flatnonzero(is_odd.reshape(rows.shape[0], -1).any(axis=1)):
        quantize_chunk(tensor_type, rows[i : i + 1], importance, out[i])


def _require_whole_blocks(tensor_type: TensorType, rows: Floats, importance: Floats | None) -> None:
    if tensor_type not in TYPES:
        known = ", ".join(kind.name for kind in TYPES)
        raise UnsupportedError(
            f"no kernel for type {tensor_type.name}", hint=f"use one of: {known}"
        )
    n_cols = rows.shape[1]
    if n_cols == 0 or n_cols % tensor_type.block_weights:
        raise UnsupportedError(
            f"rows of {n_cols} weights are not whole {tensor_type.name} blocks of "
            f"{tensor_type.block_weights}"
        )
    if importance is not None and importance.shape != rows.shape[1:]:
        raise UnsupportedError(f"{n_cols} columns have {importance.size} importance weights")
