"""Owns the GGUF format of importance matrices: two tensors for each weight, and three keys.

Source: common/imatrix-loader.cpp and tools/imatrix/imatrix.cpp of llama-cpp-python 0.3.36.
"""

from __future__ import annotations

import mmap
from pathlib import Path

import numpy as np

from quant.dtypes import Float32Array
from quant.errors import ImportanceFileError
from quant.gguf.contents import TensorInfo
from quant.gguf.header import GgufHeader, read_header
from quant.importance.matrix import ImportanceMatrix, TensorImportance

SUMS, COUNTS = ".in_sum2", ".counts"
DATASETS = "imatrix.datasets"
CHUNK_COUNT = "imatrix.chunk_count"
CHUNK_SIZE = "imatrix.chunk_size"


def read_gguf(path: Path, view: mmap.mmap, digest: str) -> ImportanceMatrix:
    """The matrix in a GGUF file, which is mapped as `view`.

    Raises: GgufFileError, ImportanceFileError.
    """
    header = read_header(path)
    missing = [key for key in (DATASETS, CHUNK_COUNT, CHUNK_SIZE) if key not in header.kv]
    if missing:
        raise ImportanceFileError(f"{path} is no importance matrix: it has no key {missing[0]}")
    tensors = {tensor.name: tensor for tensor in header.tensors}
    endings = (SUMS, COUNTS)
    names = {name.removesuffix(end) for name in tensors for end in endings if name.endswith(end)}
    if not names:
        raise ImportanceFileError(f"{path} is an importance matrix without any entry")
    entries = {}
    for name in sorted(names):
        if absent := [ending for ending in endings if name + ending not in tensors]:
            raise ImportanceFileError(f"{path}: tensor {name}{absent[0]} is missing")
        sums, counts = (_values(header, view, tensors[name + ending]) for ending in endings)
        entries[name] = TensorImportance(sums, _whole(path, name, counts))
    return ImportanceMatrix(
        file_name=str(path),
        digest=digest,
        entries=entries,
        dataset=_first_dataset(header),
        n_chunks=_n_chunks(header),
    )


def _values(header: GgufHeader, view: mmap.mmap, tensor: TensorInfo) -> Float32Array:
    if tensor.type_name != "F32":
        raise ImportanceFileError(f"{header.path}: {tensor.name} is {tensor.type_name}, not F32")
    offset = header.data_offset + tensor.offset
    if offset + tensor.n_bytes > len(view):  # the file was replaced meanwhile
        raise ImportanceFileError(f"{header.path} changed while it was read")
    return np.frombuffer(view, "<f4", tensor.n_bytes // 4, offset)


def _whole(path: Path, name: str, counts: Float32Array) -> Float32Array:
    if not np.isfinite(counts).all():
        raise ImportanceFileError(f"{path}: the counts for {name} hold NaN or infinity")
    # llama.cpp rounds halves away from zero; what is below one half counts as nothing
    whole: Float32Array = np.floor(counts + np.float32(0.5))
    return whole


def _first_dataset(header: GgufHeader) -> str:
    value = header.kv[DATASETS]
    datasets = value if isinstance(value, tuple) else header.read_array(DATASETS)
    return datasets[0] if datasets and isinstance(datasets[0], str) else ""


def _n_chunks(header: GgufHeader) -> int:
    value = header.kv[CHUNK_COUNT]
    if type(value) is not int or not 0 <= value < 2**31:
        raise ImportanceFileError(f"{header.path}: {CHUNK_COUNT} is {value!r:.40}")
    return value
