"""llama.cpp's way from bytes to numbers, as we call it, against gguf's in numpy."""

from __future__ import annotations

import numpy as np
import pytest
from gguf import GGMLQuantizationType
from gguf.quants import dequantize as dequantize_in_numpy

from quant.blocks.dequantize import dequantize
from quant.gguf.types import TensorType

_N_ROWS, _N_COLS = 7, 1024
_TYPES = [
    "F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K",
    "Q6_K", "IQ4_NL", "IQ4_XS", "MXFP4",
]  # fmt: skip


@pytest.mark.parametrize("name", _TYPES)
def test_both_read_the_same_numbers(name: str) -> None:
    tensor_type = TensorType[name]
    n_bytes = _N_ROWS * tensor_type.n_bytes(_N_COLS)
    # of any bytes, because a damaged file holds any bytes; halves below 2 keep off infinity
    data = np.random.default_rng(7).integers(0, 64, n_bytes, np.uint8)

    ours = dequantize(tensor_type, data, (_N_ROWS, _N_COLS))

    theirs = dequantize_in_numpy(data.reshape(_N_ROWS, -1), GGMLQuantizationType[name])
    assert np.isfinite(ours).all()
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)


def test_bytes_that_do_not_fill_the_shape_are_our_own_mistake() -> None:
    with pytest.raises(ValueError, match="143 bytes are not 256 weights of Q4_K"):
        dequantize(TensorType.Q4_K, np.zeros(143, np.uint8), (1, 256))
