"""Owns MXFP4 as gpt-oss publishes it: blocks of 32 codes of 4 bits, and a power of two for each.

`NAME_blocks` and `NAME_scales` become one tensor of the dtype MXFP4, whose rows are ggml's bytes:
no weight is rounded or even looked at. Source: conversion/gpt_oss.py, repack_mxfp4, and
ggml-common.h, block_mxfp4, of llama-cpp-python 0.3.36.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from quant.dtypes import Array, RowIndex
from quant.errors import CheckpointDamagedError
from quant.source.safetensors import BlockScale, MappedShards, StoredTensor

DTYPE = "MXFP4"
_BLOCK = 32
_CODE_BYTES = _BLOCK // 2
_BLOCKS, _SCALES = "_blocks", "_scales"


def fold_blocks(
    tensors: Mapping[str, StoredTensor], config: Mapping[str, Any]
) -> Mapping[str, StoredTensor]:
    """The tensors with scales made part of their blocks, if config.json says that there are any.

    The folded ones keep the names of their blocks and come first, as in llama.cpp's converter.
    Raises: CheckpointDamagedError naming the tensor that does not fit.
    """
    quantization = config.get("quantization_config")
    if not isinstance(quantization, dict) or quantization.get("quant_method") != "mxfp4":
        return tensors
    rest = dict(tensors)
    folded = {}
    for name, scales in tensors.items():
        if name.endswith(_SCALES):
            blocks = rest.pop(name.removesuffix(_SCALES) + _BLOCKS, None)
            if blocks is None:
                raise CheckpointDamagedError(f"{scales.path}: tensor {name!r} scales nothing")
            folded[blocks.name] = _folded(blocks, scales)
            del rest[name]
    return {**folded, **rest}


def pack_rows(tensor: StoredTensor, shards: MappedShards, rows: RowIndex) -> Array:
    """Some rows as ggml's bytes: per block its scale, then 16 bytes of two codes each.

    The checkpoint puts neighbours into one byte, ggml the codes that are 16 apart.
    Shapes: (rows, columns / 32 * 17), uint8.
    """
    if tensor.scale is None:
        raise ValueError(f"{tensor.name} has no scales")
    n_rows, n_blocks = math.prod(tensor.shape[:-1]), tensor.shape[-1] // _BLOCK
    raw = dataclasses.replace(tensor, dtype="U8", shape=(n_rows, n_blocks * _CODE_BYTES))
    codes = shards.matrix(raw)[rows].astype(np.uint8, copy=False).reshape(-1, n_blocks, 2, 8)
    low_half, high_half = codes[:, :, 0], codes[:, :, 1]
    packed = np.empty((codes.shape[0], n_blocks, 1 + _CODE_BYTES), dtype=np.uint8)
    packed[..., 0] = shards.matrix(tensor.scale.tensor).reshape(n_rows, n_blocks)[rows]
    packed[..., 1::2] = (low_half & 0x0F) | (high_half << 4)
    packed[..., 2::2] = (low_half >> 4) | (high_half & 0xF0)
    return packed.reshape(codes.shape[0], -1)


def _folded(blocks: StoredTensor, scales: StoredTensor) -> StoredTensor:
    where = f"{blocks.path}: tensor {blocks.name!r}"
    if (blocks.dtype, scales.dtype) != ("U8", "U8"):
        raise CheckpointDamagedError(
            f"{where} is {blocks.dtype} with scales in {scales.dtype}, MXFP4 has both in U8"
        )
    if len(scales.shape) < 2 or 0 in scales.shape or blocks.shape != (*scales.shape, _CODE_BYTES):
        raise CheckpointDamagedError(
            f"{where} is {list(blocks.shape)}, its scales are {list(scales.shape)}: "
            f"not {_CODE_BYTES} bytes for each"
        )
    shape = (*scales.shape[:-1], scales.shape[-1] * _BLOCK)
    return dataclasses.replace(
        blocks, dtype=DTYPE, shape=shape, scale=BlockScale(scales, (1, _BLOCK))
    )
