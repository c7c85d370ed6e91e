"""Encoded rows against gguf-py, which writes these types in numpy, independent of the C library."""

from __future__ import annotations

import gguf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant.dtypes import to_bfloat16, to_float32
from quant.gguf.types import TensorType
from quant.kernels import encode_rows

_NUMPY_TYPES = ["F32", "F16", "BF16", "Q4_0", "Q5_0", "Q5_1", "Q8_0"]


def _rows(seed: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    raw = np.random.PCG64(seed).random_raw(8 * 256).reshape(8, 256)
    values = (raw >> np.uint64(40)).astype(np.float32) / np.float32(2**23) - np.float32(1)
    values[3] = 0
    values[5] *= np.float32(1e-30)
    return values


@pytest.mark.parametrize("name", _NUMPY_TYPES)
@pytest.mark.parametrize("seed", range(4))
def test_rows_equal_those_of_gguf_py(name: str, seed: int) -> None:
    rows = _rows(seed)

    ours = encode_rows(rows, "F32", TensorType[name])

    theirs = gguf.quants.quantize(rows, gguf.GGMLQuantizationType[name])
    assert ours.tobytes() == theirs.tobytes()


@pytest.mark.parametrize("name", ["Q4_K", "Q5_K", "Q6_K"])
def test_types_with_large_blocks_come_back_close_to_what_went_in(name: str) -> None:
    rows = _rows(9)
    n_bits = int(name[1])

    packed = encode_rows(rows, "F32", TensorType[name])

    again = gguf.quants.dequantize(
        np.asarray(packed).reshape(8, -1), gguf.GGMLQuantizationType[name]
    )
    # sub-blocks span about two: half a step, and the steps' own rounding on top
    assert np.abs(again - rows).max() < 2 / 2**n_bits


_KNOWN_TO_GGUF_PY = [
    tensor_type
    for tensor_type in TensorType
    # gguf-py still counts Q8_1's two halves as floats; no file holds it
    if tensor_type in set(gguf.GGMLQuantizationType) and tensor_type is not TensorType.Q8_1
]


@pytest.mark.parametrize("tensor_type", _KNOWN_TO_GGUF_PY)
def test_block_sizes_are_those_of_gguf_py(tensor_type: TensorType) -> None:
    n_weights, n_bytes = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType(tensor_type)]

    assert tensor_type.block_weights == n_weights
    assert tensor_type.n_bytes(1024) == 1024 // n_weights * n_bytes


@settings(max_examples=300)
@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=64))
def test_every_float_rounds_to_the_bfloat16_of_gguf_py(bits: list[int]) -> None:
    values = np.array([bits], dtype=np.uint32).view(np.float32)

    ours = to_bfloat16(values)

    theirs = gguf.quants.quantize(values, gguf.GGMLQuantizationType.BF16)
    assert ours.tobytes() == theirs.tobytes()


@given(st.integers(0, 2**16 - 1))
def test_a_bfloat16_widened_and_cut_again_is_the_same_unless_it_is_a_signalling_nan(
    bits: int,
) -> None:
    narrow = np.array([bits], dtype=np.uint16)

    again = to_bfloat16(to_float32(narrow, "BF16"))

    is_nan = (bits & 0x7FFF) > 0x7F80
    assert again[0] == (bits | 0x40 if is_nan else bits)
