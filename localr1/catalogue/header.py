"""Owns the header that a model of the catalogue would have as a GGUF: exact types and sizes."""

from __future__ import annotations

import math
from pathlib import Path
from types import MappingProxyType

from localr1.catalogue.entry import Entry
from localr1.errors import ModelFileError, UsageError
from localr1.metadata.assumed_shape import AssumedShape
from localr1.metadata.assumed_types import laid_out, without_rows
from localr1.model_facts.card import ModelCard
from quant.gguf.header import GgufHeader
from quant.gguf.types import ALIGNMENT, FileType
from quant.recipe import file_type_named, types_of_checkpoint

_USUAL_TYPE = "Q4_K_M"

# Tokens, their types and merges before the tensors: 39 bytes per token in DeepSeek-R1-Distill-Qwen,
# which has 152,064 of them; a few MB of gigabytes.
_HEADER_BYTES_PER_TOKEN = 39


def chosen_type(entry: Entry, wanted: str | None) -> FileType:
    """The type a plan is made for: the one that was asked for, else the usual one.

    Raises: BadRequestError for a type nobody knows; UsageError if the model comes in others only.
    """
    file_type = file_type_named(wanted or (*entry.file_types, _USUAL_TYPE)[0])
    if entry.file_types and file_type.name not in entry.file_types:
        raise UsageError(f"{entry.name} is published as {', '.join(entry.file_types)} only")
    return file_type


def card_of(entry: Entry, file_type: FileType) -> ModelCard:
    """The card of the model as that file type. Raises: as `header_of`."""
    return ModelCard.from_header(header_of(entry, file_type))


def header_of(entry: Entry, file_type: FileType) -> GgufHeader:
    """The header of the file that converting the checkpoint to that type gives, weights exact.

    What stands before the tensors, mostly the vocabulary, is estimated.
    Raises: BadRequestError where rows do not fit the type.
    """
    shape = _shape(entry)
    tensors = [
        without_rows(name, dims)
        for name, dims in shape.dims().items()
        if not (entry.is_tied and name == "output.weight")
    ]
    typed = types_of_checkpoint(tensors, file_type, shape.facts())
    placed = laid_out(
        {
            tensor.name: (tensor.shape[::-1], kind.name, kind.n_bytes(math.prod(tensor.shape)))
            for tensor, kind in typed
        }
    )
    data_offset = _HEADER_BYTES_PER_TOKEN * shape.count("vocab_size") // ALIGNMENT * ALIGNMENT
    return GgufHeader(
        path=Path(f"{entry.name}-{file_type.name}"),
        version=3,
        kv=MappingProxyType({**shape.kv, "general.file_type": file_type.value}),
        tensors=placed,
        data_offset=data_offset,
        file_bytes=data_offset + placed[-1].offset + placed[-1].n_bytes,
        alignment=ALIGNMENT,
        modified_ns=0,
    )


def embedding_params(entry: Entry) -> int:
    """Parameters of the token embedding."""
    shape = _shape(entry)
    return shape.count("vocab_size") * shape.count("embedding_length")


def _shape(entry: Entry) -> AssumedShape:
    kv = {f"{entry.architecture}.{name}": value for name, value in entry.keys.items()}
    named = {"general.architecture": entry.architecture, "general.name": entry.name}
    return AssumedShape(
        named | kv, entry.architecture, lambda reason: ModelFileError(f"{entry.name}: {reason}")
    )
