from __future__ import annotations

import numpy as np
import pytest

from quant.blocks import registry
from quant.blocks.reference import Bytes, Floats
from quant.errors import UnsupportedError
from quant.gguf.types import TensorType


def test_unknown_type_is_refused_with_the_known_ones() -> None:
    rows = np.zeros((1, 256), np.float32)

    with pytest.raises(UnsupportedError, match="Q2_K") as caught:
        registry.quantize(TensorType.Q2_K, rows)

    assert "Q4_K" in caught.value.hint


@pytest.mark.parametrize("n_cols", [0, 32, 255, 300])
def test_rows_that_are_not_whole_blocks_are_refused(n_cols: int) -> None:
    rows = np.zeros((2, n_cols), np.float32)

    with pytest.raises(UnsupportedError, match=f"rows of {n_cols} weights"):
        registry.quantize(TensorType.Q4_K, rows)


def test_importance_of_another_length_is_refused() -> None:
    rows = np.zeros((2, 256), np.float32)

    with pytest.raises(UnsupportedError, match="256 columns have 32"):
        registry.quantize(TensorType.Q8_0, rows, np.ones(32, np.float32))


def test_rows_need_not_be_contiguous() -> None:
    wide = np.arange(4 * 128, dtype=np.float32).reshape(4, 128)

    ours = registry.quantize(TensorType.Q8_0, wide[:, ::2])

    assert ours.shape == (4, 68)
    assert np.array_equal(ours, registry.quantize(TensorType.Q8_0, wide[:, ::2].copy()))


def test_types_without_a_search_are_left_to_llama_cpp() -> None:
    assert registry.kernel_for(TensorType.Q8_0, is_weighted=True) is None
    assert registry.kernel_for(TensorType.Q4_0, is_weighted=False) is None
    assert registry.kernel_for(TensorType.Q4_0, is_weighted=True) is not None


def test_a_kernel_with_other_bytes_than_llama_cpp_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(registry, "_loaded", {})
    monkeypatch.setattr(registry, "_encoders", lambda: {TensorType.Q6_K: _write_zeros})
    rows = np.ones((2, 256), np.float32)

    is_used = registry.load(registry.Kernel.Q6_K)

    assert not is_used
    assert registry.quantize(TensorType.Q6_K, rows).any()


def _write_zeros(_rows: Floats, _weights: Floats, out: Bytes, _is_odd: Bytes) -> None:
    out[:] = 0
