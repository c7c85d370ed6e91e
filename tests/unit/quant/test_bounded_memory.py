"""A tensor larger than the limit streams through slabs. The files are holes: they cost nothing."""

from __future__ import annotations

import json
import math
import os
import tracemalloc
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from quant.dtypes import BYTES_OF
from quant.families.tensor_map import MappedTensor
from quant.gguf.types import TensorType
from quant.recipe import TypedTensor
from quant.rows import RowSource, picked_rows, stacked_rows, stored_rows, transposed_rows
from quant.slabs import encoded_slabs
from quant.source.fp8 import fold_scales
from quant.source.mxfp4 import fold_blocks
from quant.source.safetensors import MappedShards, StoredTensor, read_tensor_table
from tests.support.checkpoint_files import write_raw_safetensors

_N_EXPERTS, _N_ROWS, _N_COLS = 8, 2048, 4096
_N_WEIGHTS = _N_EXPERTS * _N_ROWS * _N_COLS  # 256 MiB as float32
_LIMIT_BYTES = 64 * 1024**2


def _sparse(
    path: Path, arrays: Mapping[str, tuple[str, tuple[int, ...]]]
) -> Mapping[str, StoredTensor]:
    """Tensors of zeros, by name: a dtype and a shape."""
    header, end = {}, 0
    for name, (dtype, shape) in arrays.items():
        start, end = end, end + math.prod(shape) * BYTES_OF[dtype]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}
    write_raw_safetensors(path, json.dumps(header), b"")
    os.truncate(path, path.stat().st_size + end)
    return read_tensor_table(path)


def _stack_of_experts(path: Path) -> RowSource:
    shape = (_N_ROWS, _N_COLS)
    tensors = _sparse(path, {f"e{number}": ("BF16", shape) for number in range(_N_EXPERTS)})
    return stacked_rows([stored_rows(tensor) for tensor in tensors.values()])


def _stack_of_fp8_experts(path: Path) -> RowSource:
    arrays: dict[str, tuple[str, tuple[int, ...]]] = {}
    for number in range(_N_EXPERTS):
        arrays[f"e{number}"] = ("F8_E4M3", (_N_ROWS, _N_COLS))
        arrays[f"e{number}_scale_inv"] = ("F32", (_N_ROWS // 128, _N_COLS // 128))
    config = {"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}
    tensors = fold_scales(_sparse(path, arrays), config)
    return stacked_rows([stored_rows(tensor) for tensor in tensors.values()])


def _half_of_a_fused_matrix(path: Path) -> RowSource:
    (tensor,) = _sparse(path, {"e": ("BF16", (_N_EXPERTS, 2 * _N_ROWS, _N_COLS))}).values()
    return picked_rows(tensor, 2, [1])


def _matrices_turned_around(path: Path) -> RowSource:
    (tensor,) = _sparse(path, {"e": ("BF16", (_N_EXPERTS, _N_COLS, _N_ROWS))}).values()
    return transposed_rows(stored_rows(tensor), _N_COLS)


def _blocks_of_codes(path: Path) -> RowSource:
    blocks = (_N_EXPERTS, _N_ROWS, _N_COLS // 32, 16)
    arrays = {"e_blocks": ("U8", blocks), "e_scales": ("U8", blocks[:-1])}
    config = {"quantization_config": {"quant_method": "mxfp4"}}
    (tensor,) = fold_blocks(_sparse(path, arrays), config).values()
    return stored_rows(tensor)


@pytest.mark.parametrize(
    "made_in",
    [
        _stack_of_experts,
        _stack_of_fp8_experts,
        _half_of_a_fused_matrix,
        _matrices_turned_around,
        _blocks_of_codes,
    ],
)
def test_memory_does_not_grow_with_the_tensor(
    made_in: Callable[[Path], RowSource], tmp_path: Path
) -> None:
    source = made_in(tmp_path / "m.safetensors")
    kept = TensorType.MXFP4 if source.dtype == "MXFP4" else TensorType.F16
    tensor = MappedTensor("blk.0.ffn_up_exps.weight", (_N_EXPERTS, _N_ROWS, _N_COLS), source)
    shards = MappedShards(source.stored)

    tracemalloc.start()
    n_bytes = sum(
        slab.data.nbytes for slab in encoded_slabs([TypedTensor(tensor, kept)], shards, n_threads=2)
    )
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert n_bytes == kept.n_bytes(_N_WEIGHTS)
    assert peak_bytes < _LIMIT_BYTES
