"""Owns how tests write safetensors files and read GGUF files: byte by byte, without our own code.

The safetensors writer also writes lies: any header can be given, whatever the data are.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_BITS = {"F32": "<u4", "F16": "<u2", "BF16": "<u2"}


@dataclass(frozen=True, slots=True)
class StoredArray:
    """A tensor as it lies in a safetensors file."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes


def seeded_array(seed: int, dtype: str, shape: tuple[int, ...]) -> StoredArray:
    """Small numbers that depend on nothing but the arguments.

    Raw PCG64 output is stable across numpy versions; its distributions are not.
    """
    raw = np.random.PCG64(seed).random_raw(math.prod(shape))
    values = ((raw >> np.uint64(40)).astype(np.float32) / np.float32(2**24) - 0.5) * 0.2
    # a few larger weights, as trained models have
    values[::97] *= 8
    return as_stored(values.reshape(shape), dtype)


def seeded_codes(seed: int, shape: tuple[int, int]) -> StoredArray:
    """Codes of 8-bit floats (E4M3), each but the two that mean NaN."""
    raw = np.random.PCG64(seed).random_raw(math.prod(shape))
    codes = (raw >> np.uint64(40)).astype(np.uint8)
    codes[(codes & 127) == 127] = 0
    return StoredArray("F8_E4M3", shape, codes.tobytes())


def as_stored(values: npt.NDArray[np.float32], dtype: str) -> StoredArray:
    """Float32 values in a format; bfloat16 by cutting the lower half off."""
    if dtype == "F32":
        data = values.astype("<f4").tobytes()
    elif dtype == "F16":
        data = values.astype("<f2").tobytes()
    else:
        data = (values.view(np.uint32) >> np.uint32(16)).astype("<u2").tobytes()
    return StoredArray(dtype, values.shape, data)


def write_safetensors(path: Path, arrays: Mapping[str, StoredArray]) -> None:
    """A file that keeps the format's promises."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, array in arrays.items():
        end = offset + len(array.data)
        header[name] = {"dtype": array.dtype, "shape": array.shape, "data_offsets": [offset, end]}
        offset = end
    write_raw_safetensors(
        path, json.dumps(header), b"".join(array.data for array in arrays.values())
    )


def write_raw_safetensors(
    path: Path, header: str, data: bytes, *, header_bytes: int | None = None
) -> None:
    """A file with any header; `header_bytes` is the length it claims, if not the true one."""
    encoded = header.encode()
    length = len(encoded) if header_bytes is None else header_bytes
    path.write_bytes(length.to_bytes(8, "little") + encoded + data)


def read_safetensors(path: Path) -> dict[str, StoredArray]:
    """The arrays of an honest file."""
    content = path.read_bytes()
    data_start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:data_start])
    header.pop("__metadata__", None)
    return {
        name: StoredArray(
            entry["dtype"],
            tuple(entry["shape"]),
            content[data_start + entry["data_offsets"][0] : data_start + entry["data_offsets"][1]],
        )
        for name, entry in header.items()
    }


def describe_gguf(path: Path) -> dict[str, Any]:
    """A GGUF as llama.cpp's own reader sees it, small enough to keep: long values as hashes."""
    import gguf  # late, so that make_golden.py can put llama.cpp's own copy first

    reader = gguf.GGUFReader(path)
    metadata = {
        field.name: f"{'/'.join(kind.name for kind in field.types)} {_short(field.contents())}"
        for field in reader.fields.values()
        if not field.name.startswith("GGUF.")
    }
    tensors = {
        tensor.name: f"{tensor.tensor_type.name} {[int(size) for size in tensor.shape]} "
        f"{hashlib.sha256(tensor.data.tobytes()).hexdigest()[:16]}"
        for tensor in reader.tensors
    }
    return {
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "metadata": metadata,
        "tensors": tensors,
    }


def _short(value: Any) -> str:
    as_json = json.dumps(value, ensure_ascii=False)
    if len(as_json) <= 100:
        return as_json
    return "sha256:" + hashlib.sha256(as_json.encode()).hexdigest()[:16]
