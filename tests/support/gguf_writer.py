"""Writes GGUF files for tests: honest ones from values, and lying ones from hand-made pieces.

Knows nothing of `localr1`, so that reader and writer cannot share a mistake. Tensor data is a hole
in the file: a model of any size takes no room on disk.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

F32, F16, Q4_0, Q8_0, Q4_K, I8 = 0, 1, 2, 8, 12, 24
_BLOCKS = {
    F32: (1, 4), F16: (1, 2), Q4_0: (32, 18), Q8_0: (32, 34), Q4_K: (256, 144), I8: (1, 1),
}  # fmt: skip
_ALIGNMENT = 32

Value = bool | int | float | str | Sequence[int] | Sequence[float] | Sequence[str]


def string(text: str | bytes) -> bytes:
    data = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(data)) + data


def key_value(key: str | bytes, value: Value) -> bytes:
    return string(key) + _typed(value)


def raw_key_value(key: str | bytes, value_type: int, payload: bytes) -> bytes:
    return string(key) + struct.pack("<I", value_type) + payload


def tensor_row(name: str | bytes, dims: Sequence[int], type_id: int, offset: int) -> bytes:
    shape = struct.pack(f"<I{len(dims)}Q", len(dims), *dims)
    return string(name) + shape + struct.pack("<IQ", type_id, offset)


def header(
    key_values: Sequence[bytes] = (),
    tensor_rows: Sequence[bytes] = (),
    *,
    n_kv: int | None = None,
    n_tensors: int | None = None,
    version: int = 3,
    magic: bytes = b"GGUF",
) -> bytes:
    """A header whose counts may lie."""
    counts = struct.pack(
        "<IQQ",
        version,
        len(tensor_rows) if n_tensors is None else n_tensors,
        len(key_values) if n_kv is None else n_kv,
    )
    data = magic + counts + b"".join(key_values) + b"".join(tensor_rows)
    return data + b"\0" * (-len(data) % _ALIGNMENT)


def write_model(
    path: Path, values: Mapping[str, Value], tensors: Mapping[str, tuple[tuple[int, ...], int]]
) -> Path:
    """A well-formed file: `tensors` maps names to (dims, type id); the data reads as zeros."""
    rows, offset = [], 0
    for name, (dims, type_id) in tensors.items():
        rows.append(tensor_row(name, dims, type_id, offset))
        offset += -(-_n_bytes(dims, type_id) // _ALIGNMENT) * _ALIGNMENT
    head = header([key_value(key, value) for key, value in values.items()], rows)
    with path.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + offset)
    return path


def _n_bytes(dims: Sequence[int], type_id: int) -> int:
    n_items, n_bytes = _BLOCKS[type_id]
    return math.prod(dims) // n_items * n_bytes


def _typed(value: Value) -> bytes:
    if isinstance(value, bool):
        return struct.pack("<I?", 7, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if isinstance(value, str):
        return struct.pack("<I", 8) + string(value)
    if all(isinstance(item, str) for item in value):
        items = b"".join(string(str(item)) for item in value)
        return struct.pack("<IIQ", 9, 8, len(value)) + items
    if any(isinstance(item, float) for item in value):
        return struct.pack(f"<IIQ{len(value)}f", 9, 6, len(value), *value)
    return struct.pack(f"<IIQ{len(value)}i", 9, 5, len(value), *value)
