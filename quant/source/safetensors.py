"""Owns the safetensors format: a checked tensor table, and rows straight from the mapped file.

Format: 8 bytes header length, a JSON header, the data (README of the safetensors project). Headers
lie: every size is checked against the file before anything is mapped, so that no read can leave
the file. Limits: header 32 MiB, 262,144 tensors, 8 dimensions.
"""

from __future__ import annotations

import itertools
import math
import mmap
import re
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from quant.dtypes import BYTES_OF, NUMPY_OF, Array
from quant.errors import CheckpointDamagedError, UnsupportedError, unreadable
from quant.source.json_file import parse_json_object

MAX_HEADER_BYTES = 32 * 1024**2
MAX_TENSORS = 262_144
_MAX_DIMS = 8
_NAME = re.compile(r"[\w.\-/]{1,256}", re.ASCII)


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """Where a tensor lies in a shard."""

    path: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    """From the start of the file."""
    n_bytes: int
    scale: BlockScale | None = None
    """Set if the file holds codes of 8 bits and `dtype` is what they become, see `fp8`."""


@dataclass(frozen=True, slots=True)
class BlockScale:
    """The factors that belong to the blocks of a matrix of codes."""

    tensor: StoredTensor
    block: tuple[int, int]
    """Rows and columns that share a factor."""


def read_tensor_table(path: Path) -> dict[str, StoredTensor]:
    """The tensors of one shard, by name. Raises: CheckpointDamagedError for any lie."""
    try:
        with path.open("rb") as file:
            return checked_table(path, path.stat().st_size, file.read)
    except OSError as exc:
        raise unreadable(path, exc) from exc


def checked_table(
    path: Path, file_bytes: int, read: Callable[[int], bytes]
) -> dict[str, StoredTensor]:
    """The tensors of a shard of `file_bytes` that is, or will be, at `path`.

    `read` hands out the file's bytes from its start. Raises: CheckpointDamagedError for any lie.
    """
    prefix = read(8)
    header_bytes = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else 0
    if not 2 <= header_bytes <= min(MAX_HEADER_BYTES, file_bytes - 8):
        raise CheckpointDamagedError(
            f"{path}: header length {header_bytes:,} cannot be, the file has {file_bytes:,} bytes",
            hint="the file is truncated or no safetensors file; fetch it again",
        )
    header = parse_json_object(read(header_bytes), f"the header of {path}")
    header.pop("__metadata__", None)
    if len(header) > MAX_TENSORS:
        raise CheckpointDamagedError(f"{path} lists {len(header):,} tensors, over {MAX_TENSORS:,}")
    data_start = 8 + header_bytes
    tensors = [
        _checked_tensor(path, name, entry, data_start=data_start, file_bytes=file_bytes)
        for name, entry in header.items()
    ]
    _require_no_overlap(tensors)
    return {tensor.name: tensor for tensor in sorted(tensors, key=lambda tensor: tensor.name)}


def require_tensor_name(name: str, where: str) -> None:
    """Raises: CheckpointDamagedError unless the name is plain text that looks like no path."""
    if not _NAME.fullmatch(name) or ".." in name:
        raise CheckpointDamagedError(f"{where} has a name that is not allowed")


def _checked_tensor(
    path: Path, name: str, entry: Any, *, data_start: int, file_bytes: int
) -> StoredTensor:
    where = f"{path}: tensor {name[:256]!r}"
    require_tensor_name(name, where)
    if not isinstance(entry, dict):
        raise CheckpointDamagedError(f"{where} has no description")
    dtype: Any = entry.get("dtype")
    shape: Any = entry.get("shape")
    offsets: Any = entry.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in BYTES_OF:
        raise UnsupportedError(f"{where} has the unknown dtype {str(dtype)[:40]!r}")
    if not _are_sizes(shape) or len(shape) > _MAX_DIMS:
        raise CheckpointDamagedError(f"{where} has the impossible shape {str(shape)[:80]}")
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise CheckpointDamagedError(f"{where} has the impossible offsets {str(offsets)[:80]}")
    start, end = offsets
    if not start <= end <= file_bytes - data_start:
        raise CheckpointDamagedError(
            f"{where} lies at {start}..{end}, the data has {file_bytes - data_start} bytes",
            hint="the file is truncated or damaged; fetch it again",
        )
    if math.prod(shape) * BYTES_OF[dtype] != end - start:
        raise CheckpointDamagedError(
            f"{where}: {dtype} {list(shape)} does not fill its {end - start} bytes"
        )
    return StoredTensor(path, name, dtype, tuple(shape), data_start + start, end - start)


def _are_sizes(values: Any) -> bool:
    return isinstance(values, list) and all(
        type(value) is int and 0 <= value < 2**63 for value in values
    )


def _require_no_overlap(tensors: list[StoredTensor]) -> None:
    ordered = sorted(tensors, key=lambda tensor: (tensor.offset, tensor.n_bytes))
    for before, after in itertools.pairwise(ordered):
        if before.offset + before.n_bytes > after.offset:
            raise CheckpointDamagedError(
                f"{after.path}: tensors {before.name!r} and {after.name!r} overlap"
            )


class MappedShards:
    """Tensor rows out of memory-mapped shards. Mapped pages are the kernel's, not ours."""

    def __init__(
        self, tensors: Iterable[StoredTensor], fetch: Callable[[Path], None] | None = None
    ) -> None:
        """Open every shard, so that a file which goes away meanwhile is still there for us.

        If there is somebody to `fetch` them to their paths, they are opened when they are needed.
        """
        self._maps: dict[Path, mmap.mmap] = {}
        self._fetch = fetch
        if fetch is None:
            self.need(tensors)

    def need(self, tensors: Iterable[StoredTensor]) -> None:
        """Open the shards of these tensors, unless they are open."""
        for tensor in with_scales(tensors):
            if tensor.path not in self._maps:
                if self._fetch is not None:
                    self._fetch(tensor.path)
                self._maps[tensor.path] = _mapped(tensor.path)
            if tensor.offset + tensor.n_bytes > len(self._maps[tensor.path]):
                raise CheckpointDamagedError(f"{tensor.path} became shorter while it was read")

    def drop(self, path: Path) -> None:
        """Let go of a shard; it is closed when nobody uses its rows any more."""
        self._maps.pop(path, None)

    def matrix(self, tensor: StoredTensor) -> Array:
        """The tensor's raw bits as rows: 2-D, without a copy; a vector is one value per row."""
        values: Array = np.frombuffer(
            self._maps[tensor.path],
            dtype=NUMPY_OF[tensor.dtype],
            count=math.prod(tensor.shape),
            offset=tensor.offset,
        )
        return values.reshape(-1, tensor.shape[-1] if len(tensor.shape) > 1 else 1)


def with_scales(tensors: Iterable[StoredTensor]) -> Iterator[StoredTensor]:
    """The tensors, each followed by its scales if it has any."""
    for tensor in tensors:
        yield tensor
        if tensor.scale is not None:
            yield tensor.scale.tensor


def _mapped(path: Path) -> mmap.mmap:
    try:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as exc:  # ValueError: the file is empty
        raise unreadable(path, exc) from exc
