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

from quant.blocks import compiled_code, registry
from quant.blocks.reference import library_path
from quant.dtypes import to_float32
from quant.gguf.types import TensorType
from quant.source.safetensors import MappedShards, read_tensor_table

pytest.importorskip("numba", reason="numba compiles the lane kernels and is not installed")

if platform.machine() not in {"x86_64", "AMD64"}:
    pytest.skip("llama.cpp may fuse multiply-adds on this machine", allow_module_level=True)

pytestmark = pytest.mark.timeout(240)  # the first run compiles

Floats: TypeAlias = npt.NDArray[np.float32]
Draw: TypeAlias = Callable[[np.random.Generator, tuple[int, int]], Floats]

_MODEL = Path(__file__).parents[2] / "localr1" / "demo" / "r1-nano" / "model.safetensors"
_SEARCHED = [
    TensorType.Q4_K, TensorType.Q5_K, TensorType.Q6_K, TensorType.IQ4_NL, TensorType.IQ4_XS,
]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _kernels() -> None:
    compiled_code.keep_below(None)
    assert all(registry.load(kernel) for kernel in registry.Kernel)


def _expected(
    tensor_type: TensorType, rows: Floats, importance: Floats | None
) -> npt.NDArray[np.uint8]:
    n_rows, n_cols = rows.shape
    out = np.zeros((n_rows, tensor_type.n_bytes(n_cols)), np.uint8)
    function = ctypes.CDLL(str(library_path())).ggml_quantize_chunk
    function.restype = ctypes.c_size_t
    function.argtypes = [
        ctypes.c_int,
        *[ctypes.c_void_p] * 2,
        *[ctypes.c_int64] * 3,
        ctypes.c_void_p,
    ]
    weights = None if importance is None else importance.ctypes.data
    n_bytes = function(tensor_type, rows.ctypes.data, out.ctypes.data, 0, n_rows, n_cols, weights)
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
@pytest.mark.parametrize("tensor_type", registry.TYPES)
def test_bytes_equal_those_of_llama_cpp(tensor_type: TensorType, draw: Draw) -> None:
    with np.errstate(all="ignore"):
        rows = draw(np.random.default_rng(1), (24, 768))

    ours = registry.quantize(tensor_type, rows)

    assert np.array_equal(ours, _expected(tensor_type, rows, None))


@pytest.mark.parametrize("draw", _ORDINARY + _EXTREME)
@pytest.mark.parametrize("tensor_type", registry.TYPES)
def test_bytes_equal_those_of_llama_cpp_with_importance(
    tensor_type: TensorType, draw: Draw
) -> None:
    rng = np.random.default_rng(2)
    with np.errstate(all="ignore"):
        rows = draw(rng, (24, 768))
    importance = _importance(rng, 768)

    ours = registry.quantize(tensor_type, rows, importance)

    assert np.array_equal(ours, _expected(tensor_type, rows, importance))


@pytest.mark.parametrize("n_cols", [256, 512, 2304, 8192])
@pytest.mark.parametrize("n_rows", [1, 3, 17])
@pytest.mark.parametrize("tensor_type", _SEARCHED)
def test_bytes_do_not_depend_on_how_rows_fill_the_lanes(
    tensor_type: TensorType, n_rows: int, n_cols: int
) -> None:
    rng = np.random.default_rng(3)
    rows = _normal(rng, (n_rows, n_cols))
    importance = _importance(rng, n_cols)

    ours = registry.quantize(tensor_type, rows), registry.quantize(tensor_type, rows, importance)

    assert np.array_equal(ours[0], _expected(tensor_type, rows, None))
    assert np.array_equal(ours[1], _expected(tensor_type, rows, importance))


@pytest.mark.parametrize("tensor_type", registry.TYPES)
def test_bytes_of_trained_weights_equal_those_of_llama_cpp(tensor_type: TensorType) -> None:
    tensors = read_tensor_table(_MODEL)
    shards = MappedShards(tensors.values())
    matrices = [
        to_float32(np.ascontiguousarray(shards.matrix(tensor)), tensor.dtype)
        for tensor in tensors.values()
        if len(tensor.shape) == 2
    ]
    rows = np.concatenate([matrix.reshape(-1) for matrix in matrices])
    rows = rows[: 1500 * 256].reshape(-1, 256)

    ours = registry.quantize(tensor_type, rows)

    assert np.array_equal(ours, _expected(tensor_type, rows, None))


@pytest.mark.parametrize("is_weighted", [False, True], ids=["plain", "importance"])
@pytest.mark.parametrize("draw", _ORDINARY)
@pytest.mark.parametrize("tensor_type", registry.TYPES)
def test_ordinary_blocks_are_not_passed_on_to_llama_cpp(
    tensor_type: TensorType, draw: Draw, is_weighted: bool
) -> None:
    if registry.kernel_for(tensor_type, is_weighted=is_weighted) is None:
        assert tensor_type not in _SEARCHED
        return
    rng = np.random.default_rng(4)
    rows = draw(rng, (24, 768))
    importance = _importance(rng, 768) if is_weighted else np.zeros(0, np.float32)
    out = np.zeros(tensor_type.n_bytes(rows.size), np.uint8)
    is_odd = np.zeros(rows.size // tensor_type.block_weights, np.uint8)

    registry._loaded[tensor_type](rows.reshape(-1), importance, out, is_odd)

    assert is_odd.sum() == 0
    expected = _expected(tensor_type, rows, importance if is_weighted else None)
    assert np.array_equal(out, expected.reshape(-1))
