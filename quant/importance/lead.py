"""Owns what an importance matrix does to an output: tensors carry it, the metadata name it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from quant.errors import BadRequestError, ImportanceFileError
from quant.gguf.key_values import KeyValues
from quant.gguf.types import FileType
from quant.importance.matrix import ImportanceMatrix
from quant.recipe import TypedTensor, is_mixed


def led(
    tensors: Sequence[TypedTensor],
    key_values: KeyValues,
    file_type: FileType,
    matrix: ImportanceMatrix,
) -> list[TypedTensor]:
    """The tensors with what was measured at them; those that nothing was measured at as they were.

    Adds to `key_values` what says so. Raises: BadRequestError for a file type that has no use for
    it, ImportanceFileError if it was made for another model.
    """
    if not is_mixed(file_type):
        raise BadRequestError(
            f"{file_type.name} has no use for an importance matrix",
            hint="choose a type of 6 bits or fewer, or leave it out",
        )
    matched = [
        replace(item, importance=matrix.of(item.tensor.name, item.tensor.shape)) for item in tensors
    ]
    if all(item.importance is None for item in matched):
        raise ImportanceFileError(
            f"{matrix.file_name}: no tensor of this model is in it",
            hint="it was made for another model",
        )
    matrix.add_to(key_values)
    return matched


def gaps(tensors: Sequence[TypedTensor]) -> list[str]:
    """What to tell about matrices of layers that the importance matrix knows nothing of."""
    quantised = [
        item
        for item in tensors
        if item.tensor.name.startswith("blk.") and item.tensor_type.block_weights > 1
    ]
    missing = [item.tensor.name for item in quantised if item.importance is None]
    if not missing:
        return []
    counts = f"{len(missing)} of {len(quantised)} quantised matrices"
    return [f"the importance matrix knows nothing of {counts}, such as {missing[0]}"]
