"""Owns what a GGUF is as a source: one file or several, their metadata, and where the tensors lie.

A model in several files is opened by the first one. Names and numbers of parts are llama.cpp's:
tools/gguf-split/gguf-split.cpp.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from quant.errors import BadRequestError, GgufFileError, SourceNotFoundError
from quant.gguf.contents import TensorInfo
from quant.gguf.header import GgufHeader, read_header
from quant.gguf.types import MAGIC
from quant.source.safetensors import MAX_TENSORS, StoredTensor

_PART = re.compile(r"(.*)-(\d{5})-of-(\d{5})", re.DOTALL)
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
        raise SourceNotFoundError(f"cannot read {source}: {exc.strerror}") from exc


def gguf_name(source: Path) -> str:
    """The name of the file without the number of the part and the type."""
    part = _PART.fullmatch(source.stem)
    return _TYPE.sub("", part[1] if part else source.stem)


def open_gguf(source: Path) -> GgufModel:
    """Read and check the headers of all parts. Raises: QuantError, naming file or tensor."""
    source = Path(source).expanduser().absolute()
    header = read_header(source)
    n_parts = _number(header, "split.count", 1)
    headers = [header]
    if n_parts > 1:
        headers += [read_header(path) for path in _other_parts(header, n_parts)]
    tensors: dict[str, StoredTensor] = {}
    for number, part in enumerate(headers):
        _require_part(part, number, n_parts)
        for info in part.tensors:
            if info.name in tensors:
                first = tensors[info.name].path.name
                raise GgufFileError(f"{part.path}: tensor {info.name!r} is in {first}, too")
            tensors[info.name] = _stored(part, info)
        if len(tensors) > MAX_TENSORS:
            raise GgufFileError(f"{part.path}: over {MAX_TENSORS:,} tensors up to here")
    if not tensors:
        raise GgufFileError(f"{source}: it has no tensors", hint="give the file with the weights")
    n_tensors = _number(header, "split.tensors.count", len(tensors))
    if n_parts > 1 and n_tensors != len(tensors):
        raise GgufFileError(f"{source}: its parts have {len(tensors)} tensors, not {n_tensors}")
    return GgufModel(header, tensors)


def _other_parts(header: GgufHeader, n_parts: int) -> list[Path]:
    path = header.path
    match = _PART.fullmatch(path.stem)
    number = _number(header, "split.no", 0)
    if number > 0:
        raise BadRequestError(
            f"{path} is part {number + 1} of {n_parts}", hint="give the first part"
        )
    if match is None or (int(match[2]), int(match[3])) != (1, n_parts):
        raise GgufFileError(
            f"{path} is the first of {n_parts} parts, and its name does not say so",
            hint=f"name it ...-00001-of-{n_parts:05d}.gguf, and the others accordingly",
        )
    others = [
        path.with_name(f"{match[1]}-{part:05d}-of-{n_parts:05d}.gguf")
        for part in range(2, n_parts + 1)
    ]
    missing = next((other for other in others if not other.is_file()), None)
    if missing is not None:
        raise SourceNotFoundError(f"{path} has {n_parts} parts; there is no {missing}")
    return others


def _require_part(header: GgufHeader, number: int, n_parts: int) -> None:
    stated = _number(header, "split.no", 0), _number(header, "split.count", 1)
    if n_parts > 1 and stated != (number, n_parts):
        raise GgufFileError(
            f"{header.path}: calls itself part {stated[0] + 1} of {stated[1]}, "
            f"where part {number + 1} of {n_parts} should be"
        )


def _number(header: GgufHeader, key: str, default: int) -> int:
    value = header.kv.get(key, default)
    if type(value) is not int or value < 0:
        raise GgufFileError(f"{header.path}: {key} is {value!r:.40}, not a number")
    return value


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
