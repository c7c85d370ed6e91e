"""Owns how one output becomes several files, as llama.cpp names and fills them.

The first file carries the metadata, every file its number, and tensors stay in order and whole.
Source: tools/gguf-split/gguf-split.cpp and src/llama.cpp, llama_split_path.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from quant.errors import BadRequestError, UnsupportedError
from quant.gguf.key_values import KeyValues
from quant.gguf.writer import TensorEntry, encode_header, file_bytes, padding
from quant.output.files import OutputFile

_MAX_FILES = 65_535  # split.count has 16 bits
_SIZE = re.compile(r"(\d{1,6})([MG])B?", re.IGNORECASE)
_UNITS = {"M": 10**6, "G": 10**9}


def parse_size(text: str) -> int:
    """Bytes of a size such as 500M or 4G; units are decimal, as in llama.cpp.

    Raises: BadRequestError.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None or int(match[1]) == 0:
        raise BadRequestError(f"{text[:40]!r} is no size of a file", hint="say 4G or 500M")
    return int(match[1]) * _UNITS[match[2].upper()]


def output_layout(
    target: Path, key_values: KeyValues, tensors: Sequence[TensorEntry], max_bytes: int | None
) -> list[OutputFile]:
    """The files of an output; one file named `target` if a single one will do.

    `max_bytes` bounds the tensor data of a file; a larger tensor gets a file of its own. None
    means no split. Raises: UnsupportedError if that makes too many files.
    """
    groups = [list(tensors)] if max_bytes is None else _grouped(tensors, max_bytes)
    if len(groups) == 1:
        return [_file(target, key_values, groups[0])]
    if len(groups) > _MAX_FILES:
        raise UnsupportedError(f"that would be {len(groups):,} files, over {_MAX_FILES:,}")
    files = []
    for number, group in enumerate(groups):
        numbered = KeyValues(dict(key_values.items) if number == 0 else {})
        numbered.ushort("split.no", number)
        numbered.sint("split.tensors.count", len(tensors))
        numbered.ushort("split.count", len(groups))
        stem = target.name.removesuffix(".gguf")
        path = target.with_name(f"{stem}-{number + 1:05d}-of-{len(groups):05d}.gguf")
        files.append(_file(path, numbered, group))
    return files


def _file(path: Path, key_values: KeyValues, tensors: Sequence[TensorEntry]) -> OutputFile:
    header = encode_header(key_values, tensors)
    return OutputFile(path, header, file_bytes(header, tensors))


def _grouped(tensors: Sequence[TensorEntry], max_bytes: int) -> list[list[TensorEntry]]:
    groups: list[list[TensorEntry]] = [[]]
    n_bytes = 0
    for tensor in tensors:
        size = tensor.n_bytes + padding(tensor.n_bytes)
        if groups[-1] and n_bytes + size > max_bytes:
            groups.append([])
            n_bytes = 0
        groups[-1].append(tensor)
        n_bytes += size
    return groups
