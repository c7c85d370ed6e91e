"""Owns a model in several files: which they are, and that they belong together.

It is opened by the first one. Names and numbers of parts are llama.cpp's:
tools/gguf-split/gguf-split.cpp.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

from quant.errors import BadRequestError, GgufFileError, SourceNotFoundError
from quant.gguf.header import GgufHeader, read_header

PART_NAME = re.compile(r"(.*)-(\d{5})-of-(\d{5})", re.DOTALL)
"""The stem of a part: name, number, number of parts."""


def read_parts(path: Path, *, allow_truncated: bool = False) -> tuple[GgufHeader, ...]:
    """The headers of all files of the model that begins at `path`; one, if it is whole.

    Raises: as `read_header`; BadRequestError for another part than the first.
    """
    header = read_header(path, allow_truncated=allow_truncated)
    n_parts = _number(header, "split.count", 1)
    if n_parts <= 1:
        return (header,)
    others = _other_parts(header, n_parts)
    headers = (header, *(read_header(other, allow_truncated=allow_truncated) for other in others))
    for number, part in enumerate(headers):
        _require_part(part, number, n_parts)
    _require_no_tensor_twice(headers)
    n_tensors = sum(len(part.tensors) for part in headers)
    n_stated = _number(header, "split.tensors.count", n_tensors)
    if n_stated != n_tensors:
        raise GgufFileError(f"{path}: its parts have {n_tensors} tensors, not {n_stated}")
    return headers


def read_model_header(path: Path, *, allow_truncated: bool = False) -> GgufHeader:
    """The header of a model as if it were one file, whatever the number of its parts.

    Raises: as `read_parts`.
    """
    return joined(read_parts(path, allow_truncated=allow_truncated))


def joined(parts: Sequence[GgufHeader]) -> GgufHeader:
    """One header for all parts of a model, their tensors behind each other."""
    if len(parts) == 1:
        return parts[0]
    starts = accumulate((part.file_bytes + part.missing_bytes for part in parts), initial=0)
    tensors = tuple(
        replace(tensor, offset=start + part.data_offset + tensor.offset)
        for part, start in zip(parts, starts, strict=False)
        for tensor in part.tensors
    )
    return replace(
        parts[0],
        tensors=tensors,
        data_offset=0,
        file_bytes=sum(part.file_bytes for part in parts),
    )


def _other_parts(header: GgufHeader, n_parts: int) -> list[Path]:
    path = header.path
    match = PART_NAME.fullmatch(path.stem)
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
        raise SourceNotFoundError(
            f"{path} has {n_parts} parts; there is no {missing}", hint="get the missing part"
        )
    return others


def _require_part(header: GgufHeader, number: int, n_parts: int) -> None:
    stated = _number(header, "split.no", 0), _number(header, "split.count", 1)
    if n_parts > 1 and stated != (number, n_parts):
        raise GgufFileError(
            f"{header.path}: calls itself part {stated[0] + 1} of {stated[1]}, "
            f"where part {number + 1} of {n_parts} should be"
        )


def _require_no_tensor_twice(headers: Sequence[GgufHeader]) -> None:
    part_of: dict[str, Path] = {}
    for part in headers:
        for tensor in part.tensors:
            if tensor.name in part_of:
                first = part_of[tensor.name].name
                raise GgufFileError(f"{part.path}: tensor {tensor.name!r} is in {first}, too")
            part_of[tensor.name] = part.path


def _number(header: GgufHeader, key: str, default: int) -> int:
    value = header.kv.get(key, default)
    if type(value) is not int or value < 0:
        raise GgufFileError(f"{header.path}: {key} is {value!r:.40}, not a number")
    return value
