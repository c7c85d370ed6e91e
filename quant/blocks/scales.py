"""Owns where the scales lie in encoded blocks, and whether they are numbers.

Everything else in a block is a code, and every code is a number: where the scales are finite, the
weights are. Source: the block structures in ggml/src/ggml-common.h, version 0.3.36 of
llama-cpp-python.
"""

from __future__ import annotations

import numpy as np

from quant.dtypes import Array, is_finite
from quant.gguf.types import TensorType

_HALVES = {
    TensorType.Q4_0: (0,), TensorType.Q4_1: (0, 2), TensorType.Q5_0: (0,),
    TensorType.Q5_1: (0, 2), TensorType.Q8_0: (0,), TensorType.Q2_K: (80, 82),
    TensorType.Q3_K: (108,), TensorType.Q4_K: (0, 2), TensorType.Q5_K: (0, 2),
    TensorType.Q6_K: (208,), TensorType.IQ4_NL: (0,), TensorType.IQ4_XS: (0,),
}  # fmt: skip
"""Where in a block its float16 scales start, in bytes."""


def has_finite_scales(encoded: Array, tensor_type: TensorType) -> bool:
    """Whether no scale is NaN or infinite; True for types without blocks.

    Shapes: whole blocks as bytes, contiguous.
    """
    blocks = encoded.reshape(-1).view(np.uint8).reshape(-1, tensor_type.block_bytes)
    return all(
        is_finite(np.ascontiguousarray(blocks[:, start : start + 2]), "F16")
        for start in _HALVES.get(tensor_type, ())
    )
