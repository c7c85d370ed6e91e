"""Lane kernels against `ggml_quantize_chunk` of llama.cpp: every byte must be equal."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pytest

from quant.blocks import registry
from quant.dtypes import to_float32
from quant.kernels import _library_path
from quant.source.safetensors import MappedShards, read_tensor_table

pytest.importorskip("numba", reason="numba compiles the lane kernels and is not installed")

if platform.machine() not in {"x86_64", "AMD64"}:
    pytest.skip("llama.cpp may fuse multiply-adds on this machine", allow_module_level=True)

pytestmark = pytest.mark.timeout(240)  # the first run compiles

Floats: TypeAlias = npt.NDArray[np.float32]
Draw: TypeAlias = Callable[[np.random.Generator, tuple[int, int]], Floats]

_MODEL = Path(__file__).parents[2] / "localr1" / "demo" / "r1-nano" / "model.safetensors"
_SEARCHED = ["Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS"]
_WEIGHTED = [name for name in registry.BLOCK_TYPES if name != "Q8_0"]


def _expected(type_name: str, rows: Floats, importance: Floats | None) -> npt.NDArray[np.uint8]:
    block_type = registry.BLOCK_TYPES[type_name]
    n_rows, n_cols = rows.shape
    out = np.zeros((n_rows, n_cols // block_type.n_weights * block_type.n_bytes), np.uint8)
    function = ctypes.CDLL(str(_library_path())).ggml_quantize_chunk
    function.restype = ctypes.c_size_t
    function.argtypes = [
        ctypes.c_int,
        *[ctypes.c_void_p] * 2,
        *[ctypes.c_int64] * 3,
        ctypes.c_void_p,
    ]
    weights = None if importance is None else importance.ctypes.data
    n_bytes = function(
        block_type.ggml_id, rows.ctypes.data, out.ctypes.data, 0, n_rows, n_cols, weights
    )
    assert n_bytes == out.size
    return out


def _normal(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    return rng.standard_normal(shape, dtype=np.float32) * np.float32(0.02)


def _uniform(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    return rng.random(shape, dtype=np.float32) - np.float32(0.5)


def _positive(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    return rng.random(shape, dtype=np.float32) + np.float32(0.1)


def _negative(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    return -_positive(rng, shape)


def _heavy_tailed(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    return rng.standard_cauchy(shape).astype(np.float32)


def _bfloat16(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    bits = _normal(rng, shape).view(np.uint32) & np.uint32(0xFFFF0000)
    return bits.view(np.float32)


def _few_values(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    return rng.integers(-3, 4, shape).astype(np.float32)


def _with_zero_blocks(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    rows = _normal(rng, shape)
    rows[1] = 0
    rows[2, :32] = 0
    rows[3, 16:200] = 0
    rows[4, 1:] = 0
    rows[5] = -0.0
    return rows


def _constant_blocks(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    values = _normal(rng, (shape[0], shape[1] // 16))
    return np.repeat(values, 16, axis=1)


def _wide_magnitudes(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    exponents = rng.uniform(-44, 38, (shape[0], shape[1] // 32)).repeat(32, axis=1)
    return (rng.standard_normal(shape) * 10.0**exponents).clip(-3e38, 3e38).astype(np.float32)


def _mixed_magnitudes(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    return (rng.standard_normal(shape) * 10.0 ** rng.uniform(-20, 4, shape)).astype(np.float32)


def _denormal(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    return rng.integers(0, 1 << 20, shape).astype(np.uint32).view(np.float32)


def _far_from_zero(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    return np.float32(-1) + _normal(rng, shape) * np.float32(1e-5)


_ORDINARY: list[Draw] = [
    _normal, _uniform, _positive, _negative, _heavy_tailed, _bfloat16, _few_values,
    _with_zero_blocks, _constant_blocks,
]  # fmt: skip
_EXTREME: list[Draw] = [_wide_magnitudes, _mixed_magnitudes, _denormal, _far_from_zero]


def _importance(rng: np.random.Generator, n_cols: int) -> Floats:
    weights = rng.standard_exponential(n_cols, dtype=np.float32) ** 2
    weights[rng.random(n_cols) < 0.1] = 0
    return weights


@pytest.mark.parametrize("draw", _ORDINARY + _EXTREME)
@pytest.mark.parametrize("type_name", registry.BLOCK_TYPES)
def test_bytes_equal_those_of_llama_cpp(type_name: str, draw: Draw) -> None:
    with np.errstate(all="ignore"):
        rows = draw(np.random.default_rng(1), (24, 768))

    ours = registry.quantize(type_name, rows)

    assert np.array_equal(ours, _expected(type_name, rows, None))


@pytest.mark.parametrize("draw", _ORDINARY + _EXTREME)
@pytest.mark.parametrize("type_name", registry.BLOCK_TYPES)
def test_bytes_equal_those_of_llama_cpp_with_importance(type_name: str, draw: Draw) -> None:
    rng = np.random.default_rng(2)
    with np.errstate(all="ignore"):
        rows = draw(rng, (24, 768))
    importance = _importance(rng, 768)

    ours = registry.quantize(type_name, rows, importance)

    assert np.array_equal(ours, _expected(type_name, rows, importance))


@pytest.mark.parametrize("n_cols", [256, 512, 2304, 8192])
@pytest.mark.parametrize("n_rows", [1, 3, 17])
@pytest.mark.parametrize("type_name", _SEARCHED)
def test_bytes_do_not_depend_on_how_rows_fill_the_lanes(
    type_name: str, n_rows: int, n_cols: int
) -> None:
    rng = np.random.default_rng(3)
    rows = _normal(rng, (n_rows, n_cols))
    importance = _importance(rng, n_cols)

    ours = registry.quantize(type_name, rows), registry.quantize(type_name, rows, importance)

    assert np.array_equal(ours[0], _expected(type_name, rows, None))
    assert np.array_equal(ours[1], _expected(type_name, rows, importance))


@pytest.mark.parametrize("type_name", registry.BLOCK_TYPES)
def test_bytes_of_trained_weights_equal_those_of_llama_cpp(type_name: str) -> None:
    tensors = read_tensor_table(_MODEL)
    shards = MappedShards(tensors.values())
    matrices = [
        to_float32(np.ascontiguousarray(shards.matrix(tensor)), tensor.dtype)
        for tensor in tensors.values()
        if len(tensor.shape) == 2
    ]
    rows = np.concatenate([matrix.reshape(-1) for matrix in matrices])
    rows = rows[: 1500 * 256].reshape(-1, 256)

    ours = registry.quantize(type_name, rows)

    assert np.array_equal(ours, _expected(type_name, rows, None))


@pytest.mark.parametrize("is_weighted", [False, True], ids=["plain", "importance"])
@pytest.mark.parametrize("draw", _ORDINARY)
@pytest.mark.parametrize("type_name", registry.BLOCK_TYPES)
def test_ordinary_blocks_are_not_passed_on_to_llama_cpp(
    type_name: str, draw: Draw, is_weighted: bool
) -> None:
    kernel = registry.lane_kernel(type_name, is_weighted=is_weighted)
    if type_name not in (_WEIGHTED if is_weighted else _SEARCHED):
        assert kernel is None
        return
    rng = np.random.default_rng(4)
    rows = draw(rng, (24, 768))
    importance = _importance(rng, 768) if is_weighted else np.zeros(0, np.float32)
    block_type = registry.BLOCK_TYPES[type_name]
    out = np.zeros(rows.size // block_type.n_weights * block_type.n_bytes, np.uint8)
    is_odd = np.zeros(rows.size // block_type.n_weights, np.uint8)

    assert kernel is not None
    kernel(rows.reshape(-1), importance, out, is_odd)

    assert is_odd.sum() == 0
    expected = _expected(type_name, rows, importance if is_weighted else None)
    assert np.array_equal(out, expected.reshape(-1))
