"""Writes the GGUF of a model in the catalogue as a header before a hole: true sizes, no weights.

The tensor table is the one that `convert` would write; in place of a vocabulary stands its length.
"""

from __future__ import annotations

from pathlib import Path

from localr1.catalogue.entry import Entry
from localr1.catalogue.header import header_of
from quant.gguf.contents import Value
from quant.gguf.key_values import KeyValues
from quant.gguf.types import FileType, TensorType
from quant.gguf.writer import TensorEntry, encode_header, file_bytes


def write_header_only(path: Path, entry: Entry, file_type: FileType) -> Path:
    """A file that llama.cpp sizes like the model itself. Raises: as `header_of`."""
    header = header_of(entry, file_type)
    key_values = KeyValues()
    key_values.string("tokenizer.ggml.model", "none")
    for name in ("layer_norm_rms_epsilon", "layer_norm_epsilon"):
        key_values.real(f"{entry.architecture}.attention.{name}", 1e-6)
    if entry.architecture == "granite":  # not loaded without
        key_values.real("granite.logit_scale", 1.0)
    for key, value in header.kv.items():
        _put(key_values, key, value)
    tensors = [
        TensorEntry(tensor.name, tensor.dims[::-1], TensorType[tensor.type_name])
        for tensor in header.tensors
    ]
    head = encode_header(key_values, tensors)
    with path.open("wb") as file:
        file.write(head)
        file.truncate(file_bytes(head, tensors))
    return path


def _put(key_values: KeyValues, key: str, value: Value) -> None:
    if isinstance(value, bool):
        key_values.flag(key, value)
    elif isinstance(value, int):
        key_values.uint(key, value)
    elif isinstance(value, float):
        key_values.real(key, value)
    elif isinstance(value, str):
        key_values.string(key, value)
    elif isinstance(value, tuple):
        key_values.sints(key, [int(item) for item in value])
