"""Owns metadata on its way into a file: typed values under keys, in the order they are written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from quant.gguf.types import ValueType

Value: TypeAlias = int | float | bool | str | bytes | list[str] | list[int] | list[float]


@dataclass(frozen=True, slots=True)
class TypedValue:
    """A metadata value as it goes into the file."""

    value_type: ValueType
    value: Value
    """Bytes are a value of any type as it lies in a file."""
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

    def encoded(self, key: str, value: bytes) -> None:
        """Set a value of any type from its bytes in a file, the type in front."""
        tag, rest = value[:4], value[4:]
        self.items[key] = TypedValue(ValueType(int.from_bytes(tag, "little")), rest)

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
