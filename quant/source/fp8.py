"""Owns 8-bit floats with scales, as DeepSeek publishes its weights: one scale per block.

`NAME_scale_inv` belongs to the matrix `NAME`. A block's weights are its codes times its scale, in
float32, as in llama.cpp's converter (conversion/base.py, dequant_simple); blocks at the right and
lower edge may be cut off. To the rest of the converter such a matrix is one of float32 values.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from quant.dtypes import Array, Float32Array, RowIndex, to_float32
from quant.errors import CheckpointDamagedError, UnsupportedError
from quant.source.safetensors import BlockScale, MappedShards, StoredTensor

_CODES = "F8_E4M3"
_SCALE_ENDING = "_scale_inv"
_UNUSED_ENDINGS = (".activation_scale", "_activation_scale")
_SCALE_DTYPES = {"F32", "F16", "BF16"}
_MAX_BLOCK = 2**20


def fold_scales(
    tensors: Mapping[str, StoredTensor], config: Mapping[str, Any]
) -> Mapping[str, StoredTensor]:
    """The tensors with every scale made part of its matrix, if config.json says that there are any.

    Raises: CheckpointDamagedError or UnsupportedError naming the tensor that does not fit.
    """
    quantization = config.get("quantization_config")
    if not isinstance(quantization, dict) or quantization.get("quant_method") != "fp8":
        return tensors
    block = quantization.get("weight_block_size")
    folded = {name: tensor for name, tensor in tensors.items() if not _is_extra(name)}
    for name, scale in tensors.items():
        if not name.endswith(_SCALE_ENDING):
            continue
        weight = folded.get(name.removesuffix(_SCALE_ENDING))
        if weight is None:
            raise CheckpointDamagedError(f"{scale.path}: tensor {name!r} scales nothing")
        folded[weight.name] = dataclasses.replace(
            weight, dtype="F32", scale=_checked_scale(weight, scale, block)
        )
    return folded


def decode_rows(tensor: StoredTensor, shards: MappedShards, rows: RowIndex) -> Float32Array:
    """Some rows of a scaled matrix; `rows` is a slice or an array of row numbers."""
    if tensor.scale is None:
        raise ValueError(f"{tensor.name} has no scale")
    codes = shards.matrix(dataclasses.replace(tensor, dtype=_CODES, scale=None))
    scales = to_float32(shards.matrix(tensor.scale.tensor), tensor.scale.tensor.dtype)
    block_rows, block_cols = tensor.scale.block
    n_rows, n_cols = tensor.shape
    scales = scales.reshape(-(-n_rows // block_rows), -(-n_cols // block_cols))
    row_scales = scales[np.arange(n_rows)[rows] // block_rows]
    widened = np.repeat(row_scales, block_cols, axis=1)[:, :n_cols]
    weights: Float32Array = decode_e4m3(codes[rows]) * widened
    return weights


def decode_e4m3(codes: Array) -> Float32Array:
    """The values of E4M3 codes, exactly: sign, 4 exponent bits, 3 mantissa bits, no infinity."""
    values: Float32Array = _VALUES[codes]
    return values


def _is_extra(name: str) -> bool:
    return name.endswith((_SCALE_ENDING, *_UNUSED_ENDINGS))


def _checked_scale(weight: StoredTensor, scale: StoredTensor, block: Any) -> BlockScale:
    where = f"{weight.path}: tensor {weight.name!r}"
    if weight.dtype != _CODES or len(weight.shape) != 2 or 0 in weight.shape:
        raise UnsupportedError(
            f"{where} has scales, but is {weight.dtype} {list(weight.shape)}, no {_CODES} matrix"
        )
    if scale.dtype not in _SCALE_DTYPES:
        raise UnsupportedError(f"{where} has scales in {scale.dtype}")
    n_rows, n_cols = weight.shape
    if block is None:
        # one scale for all, or one for each row
        block = [1 if scale.shape[:1] == (n_rows,) else n_rows, n_cols]
    if not _is_block(block):
        raise CheckpointDamagedError(
            f"config.json: weight_block_size is {str(block)[:40]}, not two sizes"
        )
    n_blocks = -(-n_rows // block[0]), -(-n_cols // block[1])
    shapes: set[tuple[int, ...]] = {n_blocks}
    if n_blocks[1] == 1:
        shapes.add(n_blocks[:1])
    if n_blocks == (1, 1):
        shapes.add(())
    if scale.shape not in shapes:
        raise CheckpointDamagedError(
            f"{where}: {list(weight.shape)} in blocks of {block} needs {list(n_blocks)} scales, "
            f"there are {list(scale.shape)}"
        )
    return BlockScale(scale, (block[0], block[1]))


def _is_block(block: Any) -> bool:
    return (
        isinstance(block, list)
        and len(block) == 2
        and all(type(size) is int and 1 <= size <= _MAX_BLOCK for size in block)
    )


def _e4m3_values() -> npt.NDArray[np.float32]:
    codes = np.arange(256)
    exponent, mantissa = (codes >> 3) & 15, codes & 7
    magnitude = np.where(
        exponent == 0, mantissa / 8 * 2.0**-6, (1 + mantissa / 8) * 2.0 ** (exponent - 7)
    )
    magnitude[(codes & 127) == 127] = np.nan
    return np.where(codes < 128, magnitude, -magnitude).astype(np.float32)


_VALUES = _e4m3_values()
