from __future__ import annotations

import importlib.util
from importlib.machinery import ModuleSpec

import numpy as np
import pytest

from quant.blocks import registry
from quant.errors import UnsupportedError


def test_unknown_type_is_refused_with_the_known_ones() -> None:
    rows = np.zeros((1, 256), np.float32)

    with pytest.raises(UnsupportedError, match="Q2_K") as caught:
        registry.quantize("Q2_K", rows)

    assert "Q4_K" in caught.value.hint


@pytest.mark.parametrize("n_cols", [0, 32, 255, 300])
def test_rows_that_are_not_whole_blocks_are_refused(n_cols: int) -> None:
    rows = np.zeros((2, n_cols), np.float32)

    with pytest.raises(UnsupportedError, match=f"rows of {n_cols} weights"):
        registry.quantize("Q4_K", rows)


def test_importance_of_another_length_is_refused() -> None:
    rows = np.zeros((2, 256), np.float32)

    with pytest.raises(UnsupportedError, match="256 columns have 32"):
        registry.quantize("Q8_0", rows, np.ones(32, np.float32))


def test_rows_need_not_be_contiguous() -> None:
    wide = np.arange(4 * 128, dtype=np.float32).reshape(4, 128)

    ours = registry.quantize("Q8_0", wide[:, ::2])

    assert ours.shape == (4, 68)
    assert np.array_equal(ours, registry.quantize("Q8_0", wide[:, ::2].copy()))


def test_types_without_a_search_are_left_to_llama_cpp() -> None:
    assert registry.lane_kernel("Q8_0", is_weighted=False) is None
    assert registry.lane_kernel("Q4_0", is_weighted=False) is None


def test_without_numba_llama_cpp_does_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec

    def find_all_but_numba(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name == "numba" else find_spec(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find_all_but_numba)

    packed = registry.quantize("Q4_K", np.ones((2, 256), np.float32))

    assert registry.lane_kernel("Q4_K", is_weighted=False) is None
    assert packed.shape == (2, 144)
    assert packed.any()
