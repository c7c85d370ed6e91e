"""Owns what becomes of a GGUF that is encoded anew: its metadata, types and rows.

The metadata are the source's, but for what the new encoding makes wrong. Weights may be F32, F16,
BF16 or Q8_0; from fewer bits nothing good can be made, so other tensors pass only as they are.
Source: src/llama-quant.cpp, llama_model_quantize_impl, version 0.3.36 of llama-cpp-python.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from quant.content import Content
from quant.dtypes import Array, Float32Array
from quant.errors import GgufFileError, UnsupportedError
from quant.families.tensor_map import MappedTensor
from quant.gguf.contents import LazyArray
from quant.gguf.header import GgufHeader
from quant.gguf.key_values import KeyValues
from quant.gguf.types import QUANTIZATION_VERSION, FileType, TensorType
from quant.importance.lead import led
from quant.importance.matrix import ImportanceMatrix
from quant.recipe import ModelFacts, TypedTensor, choose_types_of_gguf
from quant.recipe.overrides import TypeOverride, overridden_types
from quant.rows import RowSource, stored_rows
from quant.source.gguf import GgufModel
from quant.source.safetensors import MappedShards, StoredTensor

_NUMBERS = ("F32", "F16", "BF16")
_MAX_LAYERS = 512  # as llama.cpp
_MAX_COLUMNS = 2**24  # a row must fit into memory; the longest known have 2^18
_DROPPED = (
    "split.no", "split.count", "split.tensors.count",  # the parts become one
    "general.alignment",  # llama.cpp's usual for us
    "localr1.quantize.",  # was measured at the source
)  # fmt: skip
"""How keys begin that would be wrong in the output."""


def content_of_gguf(
    model: GgufModel,
    file_type: FileType,
    overrides: Sequence[TypeOverride],
    importance: ImportanceMatrix | None = None,
) -> Content:
    """The output of a GGUF.

    Raises: GgufFileError if the metadata make no sense, UnsupportedError naming the tensor that
    has too few bits to start from.
    """
    facts = _facts(model.header)
    key_values = _copied_metadata(model.header, file_type)
    typed = _retyped(model, file_type, facts, overrides, has_imatrix=importance is not None)
    if importance is not None:
        typed = led(typed, key_values, file_type, importance)
    return Content(
        architecture=facts.architecture,
        tensors=typed,
        key_values=key_values,
        n_params=sum(math.prod(tensor.shape) for tensor in model.tensors.values()),
    )


def _retyped(
    model: GgufModel,
    file_type: FileType,
    facts: ModelFacts,
    overrides: Sequence[TypeOverride],
    *,
    has_imatrix: bool,
) -> list[TypedTensor]:
    tensors = [_mapped(stored) for stored in model.tensors.values()]
    # experts in MXFP4 are what the model was published in: they stay, as from a checkpoint
    kept = {tensor.name: TensorType.MXFP4 for tensor in tensors if tensor.source.dtype == "MXFP4"}
    given = overridden_types(overrides, tensors, facts.architecture)
    typed = choose_types_of_gguf(
        tensors, file_type, facts, overrides=kept | given, has_imatrix=has_imatrix
    )
    return [_readable(item, model.header) for item in typed]


def _copied_metadata(header: GgufHeader, file_type: FileType) -> KeyValues:
    key_values = KeyValues()
    for key, value in header.read_encoded().items():
        if not key.startswith(_DROPPED):
            key_values.encoded(key, value)
    # llama.cpp's quantiser sets these two anew, which puts them last
    for key, number in (
        ("general.quantization_version", QUANTIZATION_VERSION),
        ("general.file_type", file_type),
    ):
        key_values.items.pop(key, None)
        key_values.uint(key, number)
    return key_values


def _facts(header: GgufHeader) -> ModelFacts:
    architecture = header.kv.get("general.architecture")
    if not isinstance(architecture, str) or not architecture:
        raise GgufFileError(f"{header.path}: general.architecture is {architecture!r:.40}, no name")
    n_layer = _count(header, f"{architecture}.block_count")
    if not 1 <= n_layer <= _MAX_LAYERS:
        raise GgufFileError(
            f"{header.path}: {architecture}.block_count is {n_layer}, not from 1 to {_MAX_LAYERS}"
        )
    n_head = _count(header, f"{architecture}.attention.head_count")
    n_head_kv = _count(header, f"{architecture}.attention.head_count_kv", default=n_head)
    n_expert = _count(header, f"{architecture}.expert_count")
    return ModelFacts(architecture, n_layer, n_head, n_head_kv, n_expert)


def _count(header: GgufHeader, key: str, default: int = 0) -> int:
    """A number; of several, one for each layer, the first."""
    value: object = header.kv.get(key, default)
    if isinstance(value, tuple | LazyArray):
        value = next(iter(header.read_array(key)), None)
    if type(value) is not int or value < 0:
        raise GgufFileError(f"{header.path}: {key} is {value!r:.40}, not a number")
    return value


def _mapped(stored: StoredTensor) -> MappedTensor:
    rows = stored_rows(stored) if stored.dtype in _NUMBERS else _encoded_rows(stored)
    if rows.n_cols > _MAX_COLUMNS:
        raise GgufFileError(
            f"{stored.path}: tensor {stored.name} has rows of {rows.n_cols:,} weights, "
            f"the limit is {_MAX_COLUMNS:,}"
        )
    return MappedTensor(stored.name, stored.shape, rows)


def _readable(item: TypedTensor, header: GgufHeader) -> TypedTensor:
    dtype = item.tensor.source.dtype
    if dtype in _NUMBERS or dtype == item.tensor_type.name:
        return item
    if dtype == "Q8_0":
        return replace(item, tensor=replace(item.tensor, source=_decoded_rows(item.tensor.source)))
    raise UnsupportedError(
        f"{header.path}: tensor {item.tensor.name} is {dtype}, too coarse to become "
        f"{item.tensor_type.name}",
        hint="give a file of F32, F16, BF16 or Q8_0, or the checkpoint",
    )


def _encoded_rows(stored: StoredTensor) -> RowSource:
    """Rows of blocks, as bytes."""
    n_rows, n_cols = math.prod(stored.shape[:-1]), stored.shape[-1]
    n_bytes = TensorType[stored.dtype].n_bytes(n_cols)
    as_bytes = replace(stored, dtype="U8", shape=(n_rows, n_bytes))
    return RowSource(
        dtype=stored.dtype,
        n_rows=n_rows,
        n_cols=n_cols,
        n_source_bytes=stored.n_bytes,
        stored=(as_bytes,),
        rows=lambda shards, start, stop: shards.matrix(as_bytes)[start:stop],
    )


def _decoded_rows(encoded: RowSource) -> RowSource:
    """Rows of Q8_0 as numbers, exactly: a float16 scale and 32 codes per block."""

    def rows(shards: MappedShards, start: int, stop: int) -> Array:
        blocks = encoded.rows(shards, start, stop).reshape(-1, TensorType.Q8_0.block_bytes)
        scales: Float32Array = np.ascontiguousarray(blocks[:, :2]).view("<f2").astype(np.float32)
        codes = blocks[:, 2:].view(np.int8)
        with np.errstate(invalid="ignore"):  # a scale without sense is found by who encodes
            return (scales * codes).reshape(stop - start, encoded.n_cols)

    return replace(encoded, dtype="F32", rows=rows)
