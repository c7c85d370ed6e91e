"""Owns what a GGUF is as a source: its metadata, and where the tensors lie in its file or files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from quant.errors import GgufFileError, unreadable
from quant.gguf.contents import TensorInfo
from quant.gguf.header import GgufHeader
from quant.gguf.parts import PART_NAME, read_parts
from quant.gguf.types import MAGIC
from quant.source.safetensors import MAX_TENSORS, StoredTensor

_TYPE = re.compile(r"[-.](F32|F16|BF16|Q8_0)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class GgufModel:
    """A GGUF whose headers have been read and checked."""

    header: GgufHeader
    """Of the first file, which has the metadata."""
    tensors: Mapping[str, StoredTensor]
    """By name; `dtype` is the name of a tensor type."""


def is_gguf(source: Path) -> bool:
    """Whether the path leads to a file that is a GGUF, or is named like one."""
    try:
        if not source.is_file():
            return False
        with source.open("rb") as file:
            return source.suffix == ".gguf" or file.read(len(MAGIC)) == MAGIC
    except OSError as exc:
        raise unreadable(source, exc) from exc


def gguf_name(source: Path) -> str:
    """The name of the file without the number of the part and the type."""
    part = PART_NAME.fullmatch(source.stem)
    return _TYPE.sub("", part[1] if part else source.stem)


def open_gguf(source: Path) -> GgufModel:
    """Read and check the headers of all parts. Raises: QuantError, naming file or tensor."""
    source = Path(source).expanduser().absolute()
    headers = read_parts(source)
    tensors: dict[str, StoredTensor] = {}
    for part in headers:
        for info in part.tensors:
            tensors[info.name] = _stored(part, info)
        if len(tensors) > MAX_TENSORS:
            raise GgufFileError(f"{part.path}: over {MAX_TENSORS:,} tensors up to here")
    if not tensors:
        raise GgufFileError(f"{source}: it has no tensors", hint="give the file with the weights")
    return GgufModel(headers[0], tensors)


def _stored(header: GgufHeader, info: TensorInfo) -> StoredTensor:
    if "\N{REPLACEMENT CHARACTER}" in info.name:
        raise GgufFileError(f"{header.path}: the name of tensor {info.name!r} is not valid Unicode")
    dims = info.dims
    while len(dims) > 1 and dims[-1] == 1:
        dims = dims[:-1]  # ggml does not count outer dimensions of 1
    return StoredTensor(
        header.path,
        info.name,
        info.type_name,
        dims[::-1],
        header.data_offset + info.offset,
        info.n_bytes,
    )
