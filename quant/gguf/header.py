"""Owns reading a GGUF header: key-values and the tensor table, and nothing of the tensor data.

Opens the file, maps it, and hands the bytes to `parser`, which bounds every step. The only
errors that leave are `SourceNotFoundError` and `GgufFileError`. Long arrays (a tokenizer of
150,000 strings) are stepped over and read only when asked for; nothing stays open in between.
"""

from __future__ import annotations

import mmap
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

from quant.errors import (
    GgufFileError,
    HeaderCutOffError,
    SourceNotFoundError,
    SourceUnreadableError,
)
from quant.gguf.contents import LazyArray, Scalar, TensorInfo, Value
from quant.gguf.parser import (
    MAX_HEADER_BYTES,
    MAX_KV,
    MAX_TENSORS,
    MAX_TEXT_BYTES,
    TOO_FAR,
    HeaderReader,
    aligned,
    refused,
)


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """Everything a GGUF says about itself before its first weight."""

    path: Path
    version: int
    kv: Mapping[str, Value]
    tensors: tuple[TensorInfo, ...]
    data_offset: int
    file_bytes: int
    alignment: int
    modified_ns: int
    value_spans: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Where in the file the value of each key starts, at its type, and ends."""

    @property
    def missing_bytes(self) -> int:
        """Bytes of tensor data that the file lacks; 0 unless it was cut off."""
        if not self.tensors:
            return 0
        last = self.tensors[-1]
        return max(self.data_offset + last.offset + last.n_bytes - self.file_bytes, 0)

    def read_array(self, key: str) -> tuple[Scalar, ...]:
        """The whole array under `key`, from memory or from the file.

        Raises: KeyError if there is no such key; GgufFileError if the value is no array, or if
        the file changed since the header was read.
        """
        value = self.kv[key]
        if isinstance(value, tuple):
            return value
        if not isinstance(value, LazyArray):
            raise refused(self.path, f"{key} is not an array")
        data = self._read(value.offset, value.n_bytes)
        reader = HeaderReader(self.path, data, text_budget=MAX_HEADER_BYTES)
        return reader.items(value.item_type, value.n_items, key)

    def read_encoded(self) -> dict[str, bytes]:
        """Every value as the file has it, its type in front. Raises: GgufFileError as above."""
        if not self.value_spans:
            return {}
        first = min(start for start, _ in self.value_spans.values())
        last = max(end for _, end in self.value_spans.values())
        data = self._read(first, last - first)
        return {
            key: data[start - first : end - first] for key, (start, end) in self.value_spans.items()
        }

    def _read(self, start: int, n_bytes: int) -> bytes:
        with _open(self.path) as file:
            status = os.fstat(file.fileno())
            if (status.st_size, status.st_mtime_ns) != (self.file_bytes, self.modified_ns):
                raise refused(self.path, "changed since its header was read")
            file.seek(start)
            return file.read(n_bytes)


def read_header(path: str | Path, *, allow_truncated: bool = False) -> GgufHeader:
    """Read and check the header of the GGUF file at `path`.

    Raises: SourceNotFoundError if there is no file; GgufFileError if it is no GGUF, breaks a
    limit, contradicts itself, or lacks tensor data (unless `allow_truncated`).
    """
    path = Path(path)
    with _open(path) as file:
        status = os.fstat(file.fileno())
        if status.st_size < 24:
            raise refused(path, f"{status.st_size} bytes are too few for a GGUF")
        n_mapped = min(status.st_size, MAX_HEADER_BYTES)
        with mmap.mmap(file.fileno(), n_mapped, access=mmap.ACCESS_READ) as view:
            header = _parse(path, view, status.st_size, status.st_mtime_ns)
    if header.missing_bytes and not allow_truncated:
        raise GgufFileError(
            f"{path}: cut off; {header.missing_bytes} of its "
            f"{header.file_bytes + header.missing_bytes} bytes are missing",
            hint="get the file again; its first part alone can still be planned",
        )
    return header


def header_of_bytes(data: bytes, path: Path, file_bytes: int) -> GgufHeader:
    """The header of a file that is not here, or not yet; `data` is its beginning.

    Its long arrays cannot be read. Raises: HeaderCutOffError if the header is longer than `data`,
    GgufFileError as above.
    """
    return _parse(path, data, file_bytes, 0)


def _open(path: Path) -> BinaryIO:
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise refused(path, "a directory, not a GGUF file", hint="give a file in it")
        if not stat.S_ISREG(mode):  # opening a pipe would wait for a writer
            raise refused(path, "not a regular file", hint="give a file")
        return path.open("rb")
    except FileNotFoundError as exc:
        raise SourceNotFoundError(f"no model file at {path}", hint="check the path") from exc
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or exc
        raise refused(path, f"cannot be read: {reason}", hint=SourceUnreadableError.advice) from exc


def _parse(path: Path, view: mmap.mmap | bytes, file_bytes: int, modified_ns: int) -> GgufHeader:
    reader = HeaderReader(path, view, text_budget=MAX_TEXT_BYTES)
    try:
        version = reader.magic_and_version()
        n_tensors = reader.count(MAX_TENSORS, "tensors")
        n_kv = reader.count(MAX_KV, "key-values")
        kv = reader.key_values(n_kv)
        alignment = _alignment(path, kv)
        tensors = reader.tensor_table(n_tensors, alignment)
    except TOO_FAR as exc:
        where = "over 128 MiB long" if len(view) < file_bytes else "cut off"
        raise HeaderCutOffError(f"{path}: the header is {where}") from exc
    return GgufHeader(
        path=path,
        version=version,
        kv=MappingProxyType(kv),
        tensors=tensors,
        data_offset=aligned(reader.pos, alignment),
        file_bytes=file_bytes,
        alignment=alignment,
        modified_ns=modified_ns,
        value_spans=MappingProxyType(reader.value_spans),
    )


def _alignment(path: Path, kv: Mapping[str, Value]) -> int:
    value = kv.get("general.alignment", 32)
    # below 32 llama.cpp's loader can abort
    if type(value) is not int or not 32 <= value <= 4096 or value & (value - 1):
        raise refused(path, f"alignment {value!r:.40} is not a power of 2 from 32 to 4096")
    return value
