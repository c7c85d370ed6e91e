"""Owns the bytes of a GGUF header: each count, length and offset is checked before it is used.

A header comes from strangers, so nothing is allocated for a number that has not been bounded.
Specification: ggml `docs/gguf.md`; the stricter rules (no duplicates, offsets equal to the
running sum) are those of llama.cpp's own `ggml/src/gguf.cpp`.

    magic "GGUF" | version u32 | n_tensors u64 | n_kv u64
    n_kv      x  key string | type u32 | value
    n_tensors x  name string | n_dims u32 | dims u64... | type u32 | offset u64
    padding to alignment | tensor data
"""

from __future__ import annotations

import mmap
import struct
from itertools import repeat
from pathlib import Path

from quant.errors import GgufFileError
from quant.gguf.contents import LazyArray, Scalar, TensorInfo, Value
from quant.gguf.types import SCALARS, TENSOR_TYPE_OF_ID, ValueType

MAX_HEADER_BYTES = 128 * 1024**2
MAX_KV = 4096
MAX_TENSORS = 65_536
MAX_KEY_BYTES = 1024
MAX_STRING_BYTES = 1024**2
MAX_TEMPLATE_BYTES = 256 * 1024
MAX_ARRAY_ITEMS = 2_000_000
MAX_TENSOR_NAME_BYTES = 63  # GGML_MAX_NAME counts the closing zero
MAX_DIMS = 4
MAX_TENSOR_BYTES = 2**63 - 1
# together, so that many values at their own limit cannot add up to seconds or gigabytes
MAX_STRINGS_STEPPED_OVER = 4_000_000
MAX_TEXT_BYTES = 16 * 1024**2
EAGER_ITEMS = 1024  # longer arrays are read on demand

_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")
TOO_FAR = (struct.error, OverflowError)  # reading past the end; an offset beyond 63 bits


def refused(path: Path, reason: str, *, hint: str = "") -> GgufFileError:
    """The error that says why the file at `path` is not read any further."""
    return GgufFileError(f"{path}: {reason}", hint=hint)


def aligned(n_bytes: int, alignment: int) -> int:
    """`n_bytes` rounded up to a multiple of `alignment`."""
    return -(-n_bytes // alignment) * alignment


class HeaderReader:
    """A position in the bytes of a header; every step is checked."""

    def __init__(self, path: Path, data: mmap.mmap | bytes, *, text_budget: int) -> None:
        self.path = path
        self.pos = 0
        self.value_spans: dict[str, tuple[int, int]] = {}
        """Where each value starts, at its type, and ends."""
        self._data = data
        self._text_budget = text_budget
        self._step_budget = MAX_STRINGS_STEPPED_OVER

    def magic_and_version(self) -> int:
        """Check the magic and return the version."""
        magic = self._data[:4]
        if magic != b"GGUF":
            raise refused(self.path, f"not a GGUF file (it starts with {magic!r})")
        self.pos = 4
        version = self._number(_U32)
        if version & 0xFFFF == 0:
            raise refused(self.path, "a big-endian GGUF, which is not supported")
        if version not in (2, 3):
            raise refused(self.path, f"GGUF version {version}; only 2 and 3 are supported")
        return version

    def count(self, limit: int, what: str) -> int:
        """A 64-bit count of `what`, at most `limit`."""
        n = self._number(_U64)
        if n > limit:
            raise refused(self.path, f"{n} {what}; the limit is {limit}")
        return n

    def key_values(self, n_kv: int) -> dict[str, Value]:
        """The next `n_kv` key-values."""
        kv: dict[str, Value] = {}
        for _ in range(n_kv):
            key = self._string(MAX_KEY_BYTES, "a key")
            if not key or key in kv:
                raise refused(self.path, f"key {key!r} is {'twice there' if key else 'empty'}")
            start = self.pos
            kv[key] = self._value(key)
            self.value_spans[key] = (start, self.pos)
        return kv

    def tensor_table(self, n_tensors: int, alignment: int) -> tuple[TensorInfo, ...]:
        """The next `n_tensors` rows of the tensor table, without gaps or overlaps."""
        tensors: dict[str, TensorInfo] = {}
        end = 0
        for _ in range(n_tensors):
            tensor = self._tensor()
            if tensor.name in tensors:
                raise refused(self.path, f"tensor {tensor.name!r} is twice there")
            if tensor.offset != end:
                raise refused(
                    self.path, f"tensor {tensor.name!r} lies at {tensor.offset}, not at {end}"
                )
            end = aligned(end + tensor.n_bytes, alignment)
            tensors[tensor.name] = tensor
        return tuple(tensors.values())

    def items(self, item_type: int, n_items: int, key: str) -> tuple[Scalar, ...]:
        """The items of an array, whose type and number the caller has checked."""
        if item_type == ValueType.STRING:
            limit = _string_limit(key)
            return tuple(self._string(limit, key) for _ in range(n_items))
        item = SCALARS[item_type]
        values = struct.unpack_from(f"<{n_items}{item.format[1:]}", self._data, self.pos)
        self.pos += n_items * item.size
        return values

    def _value(self, key: str) -> Value:
        value_type = self._number(_U32)
        if value_type == ValueType.STRING:
            return self._string(_string_limit(key), key)
        if value_type == ValueType.ARRAY:
            return self._array(key)
        self._check_type(value_type, key)
        value: Scalar = SCALARS[value_type].unpack_from(self._data, self.pos)[0]
        self.pos += SCALARS[value_type].size
        return value

    def _array(self, key: str) -> Value:
        item_type = self._number(_U32)
        n_items = self.count(MAX_ARRAY_ITEMS, f"items in {key}")
        if item_type == ValueType.ARRAY:
            raise refused(self.path, f"{key} is an array of arrays")
        if item_type != ValueType.STRING:
            self._check_type(item_type, key)
        if n_items <= EAGER_ITEMS:
            return self.items(item_type, n_items, key)
        start = self.pos
        if item_type == ValueType.STRING:
            self._step_over_strings(n_items, key)
        else:
            self._step(n_items * SCALARS[item_type].size)
        return LazyArray(item_type, n_items, start, self.pos - start)

    def _check_type(self, value_type: int, key: str) -> None:
        if value_type not in SCALARS:
            raise refused(self.path, f"{key} has the unknown value type {value_type}")

    def _step_over_strings(self, n_items: int, key: str) -> None:
        self._step_budget -= n_items
        if self._step_budget < 0:
            raise refused(self.path, f"too many strings in all, up to {key}")
        # 150,000 strings pass here for one model: no method calls, no checks but the bounds
        data, pos, length_at = self._data, self.pos, _U64.unpack_from
        for _ in repeat(None, n_items):
            (length,) = length_at(data, pos)
            pos += 8 + length
        self._step(pos - self.pos)

    def _tensor(self) -> TensorInfo:
        name = self._string(MAX_TENSOR_NAME_BYTES, "a tensor name")
        n_dims = self._number(_U32)
        if not 1 <= n_dims <= MAX_DIMS:
            raise refused(self.path, f"tensor {name!r} has {n_dims} dimensions")
        dims = struct.unpack_from(f"<{n_dims}Q", self._data, self.pos)
        self._step(8 * n_dims)
        type_id = self._number(_U32)
        offset = self._number(_U64)
        if type_id not in TENSOR_TYPE_OF_ID:
            raise refused(self.path, f"tensor {name!r} has the unknown type {type_id}")
        kind = TENSOR_TYPE_OF_ID[type_id]
        n_items = 1
        for dim in dims:
            n_items *= dim
        if not n_items or dims[0] % kind.block_weights or kind.n_bytes(n_items) > MAX_TENSOR_BYTES:
            raise refused(self.path, f"tensor {name!r} has the impossible shape {dims}")
        return TensorInfo(name, kind.name, dims, offset, kind.n_bytes(n_items))

    def _string(self, limit: int, what: str) -> str:
        length = self._number(_U64)
        if length > limit:
            raise refused(self.path, f"{what} has {length} bytes; the limit is {limit}")
        self._text_budget -= length
        if self._text_budget < 0:
            raise refused(self.path, f"too much text in all, up to {what}")
        start = self.pos
        self._step(length)
        return self._data[start : self.pos].decode("utf-8", errors="replace")

    def _number(self, kind: struct.Struct) -> int:
        number: int = kind.unpack_from(self._data, self.pos)[0]
        self.pos += kind.size
        return number

    def _step(self, n_bytes: int) -> None:
        if self.pos + n_bytes > len(self._data):
            raise OverflowError
        self.pos += n_bytes


def _string_limit(key: str) -> int:
    return MAX_TEMPLATE_BYTES if key.startswith("tokenizer.chat_template") else MAX_STRING_BYTES
