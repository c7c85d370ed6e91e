"""Owns the vocabulary of GGUF: value types, tensor types with their block sizes, file types.

Numbers come from ggml/include/ggml.h, ggml/include/gguf.h and include/llama.h of llama.cpp, as
vendored in llama-cpp-python 0.3.36; they are part of the file format and never change.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

MAGIC = b"GGUF"
VERSION = 3
ALIGNMENT = 32  # the default; we never write general.alignment
QUANTIZATION_VERSION = 2  # GGML_QNT_VERSION


class ValueType(IntEnum):
    """Type tag of a metadata value. Only those that a text model needs."""

    UINT16 = 2
    UINT32 = 4
    INT32 = 5
    FLOAT32 = 6
    BOOL = 7
    STRING = 8
    ARRAY = 9


class TensorType(IntEnum):
    """Encoding of a tensor's rows (ggml_type)."""

    F32 = 0
    F16 = 1
    Q4_0 = 2
    Q5_0 = 6
    Q5_1 = 7
    Q8_0 = 8
    Q4_K = 12
    Q5_K = 13
    Q6_K = 14
    BF16 = 30


_BLOCKS: dict[TensorType, tuple[int, int]] = {  # weights in a block, bytes of a block
    TensorType.F32: (1, 4),
    TensorType.F16: (1, 2),
    TensorType.BF16: (1, 2),
    TensorType.Q4_0: (32, 18),
    TensorType.Q5_0: (32, 22),
    TensorType.Q5_1: (32, 24),
    TensorType.Q8_0: (32, 34),
    TensorType.Q4_K: (256, 144),
    TensorType.Q5_K: (256, 176),
    TensorType.Q6_K: (256, 210),
}


def block_weights(tensor_type: TensorType) -> int:
    """Weights in one block; a row must be a multiple of it."""
    return _BLOCKS[tensor_type][0]


def row_bytes(tensor_type: TensorType, n_cols: int) -> int:
    """Bytes of an encoded row of `n_cols` weights."""
    n_weights, n_bytes = _BLOCKS[tensor_type]
    return n_cols // n_weights * n_bytes


class FileType(IntEnum):
    """What the file mostly holds (llama_ftype), the value of `general.file_type`."""

    F32 = 0
    F16 = 1
    Q4_0 = 2
    Q8_0 = 7
    Q4_K_S = 14
    Q4_K_M = 15
    BF16 = 32


Value = int | float | bool | str | list[str] | list[int] | list[float]


@dataclass(frozen=True, slots=True)
class TypedValue:
    """A metadata value as it goes into the file."""

    value_type: ValueType
    value: Value
    item_type: ValueType | None = None
    """Type of the items of an array, else None."""


@dataclass(slots=True)
class KeyValues:
    """Metadata in the order it is written. Setting a key again keeps its place.

    Empty strings and arrays are not written: GGUF readers take absence for emptiness.
    """

    items: dict[str, TypedValue] = field(default_factory=dict)

    def uint(self, key: str, value: int) -> None:
        """Set an unsigned 32-bit integer."""
        self.items[key] = TypedValue(ValueType.UINT32, value)

    def ushort(self, key: str, value: int) -> None:
        """Set an unsigned 16-bit integer."""
        self.items[key] = TypedValue(ValueType.UINT16, value)

    def sint(self, key: str, value: int) -> None:
        """Set a signed 32-bit integer."""
        self.items[key] = TypedValue(ValueType.INT32, value)

    def real(self, key: str, value: float) -> None:
        """Set a 32-bit float."""
        self.items[key] = TypedValue(ValueType.FLOAT32, value)

    def flag(self, key: str, value: bool) -> None:  # noqa: FBT001 - the value itself
        """Set a boolean."""
        self.items[key] = TypedValue(ValueType.BOOL, value)

    def string(self, key: str, value: str) -> None:
        """Set a string, unless it is empty."""
        if value:
            self.items[key] = TypedValue(ValueType.STRING, value)

    def strings(self, key: str, value: list[str]) -> None:
        """Set an array of strings, unless it is empty."""
        if value:
            self.items[key] = TypedValue(ValueType.ARRAY, value, ValueType.STRING)

    def reals(self, key: str, value: list[float]) -> None:
        """Set an array of 32-bit floats, unless it is empty."""
        if value:
            self.items[key] = TypedValue(ValueType.ARRAY, value, ValueType.FLOAT32)

    def sints(self, key: str, value: list[int]) -> None:
        """Set an array of signed 32-bit integers, unless it is empty."""
        if value:
            self.items[key] = TypedValue(ValueType.ARRAY, value, ValueType.INT32)

    def move_behind(self, key: str, other: str) -> None:
        """Make the key the one that follows `other`."""
        value = self.items.pop(key)
        for name in list(self.items):
            moved = self.items.pop(name)
            self.items[name] = moved
            if name == other:
                self.items[key] = value

    def move_to_end(self, key: str) -> None:
        """Make the key the last one."""
        self.items[key] = self.items.pop(key)
