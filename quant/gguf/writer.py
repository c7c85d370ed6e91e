"""Owns the bytes of a GGUF file before its tensor data: header, metadata, tensor table.

Every size is known before the first byte is written, so the header goes out first and the weights
follow in one pass. Layout: docs/gguf.md of the ggml project, version 3, little endian.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from quant.errors import CheckpointDamagedError
from quant.gguf.key_values import KeyValues, TypedValue
from quant.gguf.types import ALIGNMENT, MAGIC, SCALARS, VERSION, TensorType, ValueType


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """One line of the tensor table."""

    name: str
    shape: tuple[int, ...]
    """As in the checkpoint: rows first, row length last. GGUF stores it reversed."""
    tensor_type: TensorType

    @property
    def n_bytes(self) -> int:
        """Bytes of the encoded data, without padding."""
        n_rows = 1
        for size in self.shape[:-1]:
            n_rows *= size
        return n_rows * self.tensor_type.n_bytes(self.shape[-1])


def padding(n_bytes: int) -> int:
    """Zero bytes that must follow `n_bytes` so that the next tensor is aligned."""
    return -n_bytes % ALIGNMENT


def encode_header(key_values: KeyValues, tensors: Sequence[TensorEntry]) -> bytes:
    """Everything up to the first tensor's data, padding included."""
    parts = [MAGIC, struct.pack("<IQQ", VERSION, len(tensors), len(key_values.items))]
    for key, value in key_values.items.items():
        parts += [_string(key), _typed_value(value)]
    offset = 0
    for tensor in tensors:
        dims = tensor.shape[::-1]
        parts.append(_string(tensor.name))
        parts.append(struct.pack(f"<I{len(dims)}Q", len(dims), *dims))
        parts.append(struct.pack("<IQ", tensor.tensor_type, offset))
        offset += tensor.n_bytes + padding(tensor.n_bytes)
    header = b"".join(parts)
    return header + bytes(padding(len(header)))


def file_bytes(header: bytes, tensors: Sequence[TensorEntry]) -> int:
    """Bytes of the whole file; known before it is written."""
    return len(header) + sum(tensor.n_bytes + padding(tensor.n_bytes) for tensor in tensors)


def _typed_value(value: TypedValue) -> bytes:
    tag = struct.pack("<I", value.value_type)
    if isinstance(value.value, bytes):
        return tag + value.value
    if value.item_type is None:
        return tag + _bare_value(value.value_type, value.value)
    items = value.value
    if not isinstance(items, list):
        raise TypeError(f"an array needs a list, not {type(items).__name__}")
    head = struct.pack("<IQ", value.item_type, len(items))
    if value.item_type in SCALARS:  # a vocabulary has 150,000 of them: all in one go
        code = SCALARS[value.item_type].format.lstrip("<")
        return tag + head + struct.pack(f"<{len(items)}{code}", *items)
    return tag + head + b"".join(_string(str(item)) for item in items)


def _bare_value(value_type: ValueType, value: object) -> bytes:
    if value_type is ValueType.STRING:
        return _string(str(value))
    return SCALARS[value_type].pack(value)


def _string(text: str) -> bytes:
    try:
        encoded = text.encode()
    except UnicodeEncodeError as exc:
        raise CheckpointDamagedError(f"the text {text[:60]!a} is not valid Unicode") from exc
    return struct.pack("<Q", len(encoded)) + encoded
