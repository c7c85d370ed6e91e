"""Owns what the output will be, complete but for the weights: files, headers, types, sizes.

Drawn from headers and JSON alone. Without any weights, config.json says which tensors there would
be: enough to tell the exact size of the output before a checkpoint is fetched.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from quant.content import Content
from quant.description.metadata import add_general, add_model
from quant.description.parameter_count import ParameterCount, count_parameters
from quant.errors import CheckpointDamagedError
from quant.families.architecture import (
    Architecture,
    TensorRule,
    architecture_of,
    read_parameters,
)
from quant.families.hyperparameters import Hyperparameters
from quant.families.tensor_map import (
    MappedTensor,
    expected_tensors,
    is_promised,
    map_tensors,
    notices_about,
)
from quant.gguf.key_values import KeyValues
from quant.gguf.types import FileType, TensorType
from quant.gguf.writer import TensorEntry
from quant.importance.lead import gaps, led
from quant.importance.matrix import ImportanceMatrix
from quant.output.files import OutputFile
from quant.output.split import output_layout
from quant.recipe import ModelFacts, TypedTensor, choose_types, file_type_named, is_mixed
from quant.recipe.overrides import TypeOverride, overridden_types
from quant.requantise import content_of_gguf
from quant.source.checkpoint import Checkpoint, checkpoint_directory, open_checkpoint
from quant.source.gguf import GgufModel, gguf_name, is_gguf, open_gguf
from quant.source.json_file import read_json_object
from quant.source.safetensors import StoredTensor
from quant.source.shard_files import has_weights
from quant.source.shard_store import ON_DISK, ShardStore
from quant.vocabulary.pretokenizer import notices_about_cut
from quant.vocabulary.tokenizer import add_tokenizer

Source: TypeAlias = Checkpoint | GgufModel
"""What a GGUF can be made from."""

_DTYPES = {"bfloat16": "BF16", "float16": "F16", "float32": "F32"}
"""Names in config.json of what the weights are stored in."""


@dataclass(frozen=True, slots=True)
class Blueprint:
    """An output that could be written."""

    architecture: str
    file_type: FileType
    files: Sequence[OutputFile]
    tensors: Sequence[TypedTensor]
    """In the order of the files."""
    n_params: int
    key_values: KeyValues
    """The metadata, as the first file has it but for its number."""
    notices: Sequence[str]
    """What the user should know: parts that are left out, and what llama.cpp does otherwise."""

    @property
    def n_bytes(self) -> int:
        """Of all files together."""
        return sum(file.n_bytes for file in self.files)

    @property
    def tensor_types(self) -> Mapping[str, int]:
        """Number of tensors by type."""
        return dict(Counter(item.tensor_type.name for item in self.tensors))

    @property
    def n_led(self) -> int:
        """Tensors that an importance matrix says something about."""
        return sum(item.importance is not None for item in self.tensors)

    def entries(self) -> list[TensorEntry]:
        """The tensor table."""
        return [_entry(item, self.file_type) for item in self.tensors]


def draw(
    source: Source,
    file_type: FileType,
    target: Path,
    *,
    split_bytes: int | None,
    overrides: Sequence[TypeOverride] = (),
    importance: ImportanceMatrix | None = None,
    notes: KeyValues | None = None,
) -> Blueprint:
    """The output of a source. `notes` go behind the metadata of the model.

    Raises: QuantError naming what does not fit.
    """
    if isinstance(source, GgufModel):
        content = content_of_gguf(source, file_type, overrides, importance)
    else:
        content = _content_of_checkpoint(source, file_type, overrides, importance)
    content.key_values.items.update(notes.items if notes is not None else {})
    entries = [_entry(item, file_type) for item in content.tensors]
    notices = [] if importance is None else gaps(content.tensors)
    return Blueprint(
        architecture=content.architecture,
        file_type=file_type,
        files=output_layout(target, content.key_values, entries, split_bytes),
        tensors=content.tensors,
        n_params=content.n_params,
        key_values=content.key_values,
        notices=(*content.notices, *notices),
    )


def _content_of_checkpoint(
    checkpoint: Checkpoint,
    file_type: FileType,
    overrides: Sequence[TypeOverride],
    importance: ImportanceMatrix | None,
) -> Content:
    try:
        architecture = architecture_of(checkpoint.config)
        parameters = read_parameters(checkpoint.config, architecture)
        mapped = map_tensors(checkpoint, architecture, parameters)
        given = overridden_types(overrides, mapped, architecture.name)
        typed = choose_types(
            mapped,
            file_type,
            _facts(architecture, parameters),
            overrides=_kept_types(mapped) | given,
            has_imatrix=importance is not None,
        )
        count = count_parameters({tensor.name: tensor.shape for tensor in mapped})
        key_values = _metadata(
            checkpoint, architecture, parameters, file_type, tensors=mapped, count=count
        )
        if importance is not None:
            typed = led(typed, key_values, file_type, importance)
        of_model = notices_about(checkpoint, architecture, parameters)
        notices = (*of_model, *notices_about_cut(key_values))
    except RecursionError as exc:
        raise CheckpointDamagedError(
            f"a JSON file in {checkpoint.directory} nests too deep"
        ) from exc
    return Content(architecture.name, typed, key_values, count.total, notices)


def dry_run(
    source: Path,
    target: Path,
    *,
    file_type: str,
    split_bytes: int | None = None,
    store: ShardStore = ON_DISK,
    overrides: Sequence[TypeOverride] = (),
    importance: ImportanceMatrix | None = None,
    notes: KeyValues | None = None,
) -> Blueprint:
    """What converting `source` would write; needs no weights, only config.json and the tokenizer.

    Without weights, tensors that a checkpoint may have or lack count as config.json has it.
    `notes` go behind the metadata of the model.
    Raises: QuantError.
    """
    return draw(
        _open_without_weights(Path(source), store),
        file_type_named(file_type),
        Path(target).expanduser().absolute(),
        split_bytes=split_bytes,
        overrides=overrides,
        importance=importance,
        notes=notes,
    )


def open_source(source: Path, store: ShardStore = ON_DISK) -> Source:
    """What the path leads to: a GGUF, or a checkpoint. Raises: QuantError."""
    return open_gguf(source) if is_gguf(source) else open_checkpoint(source, store)


def source_name(source: Path) -> str:
    """What the source is called, for who names an output after it. Raises: QuantError."""
    return gguf_name(source) if is_gguf(source) else checkpoint_directory(source).name


def _open_without_weights(source: Path, store: ShardStore) -> Source:
    if is_gguf(source):
        return open_gguf(source)
    directory = checkpoint_directory(source.parent if source.name == "config.json" else source)
    if has_weights(store.names(directory)):
        return open_checkpoint(directory, store)
    return _without_weights(directory)


def _facts(architecture: Architecture, parameters: Hyperparameters) -> ModelFacts:
    return ModelFacts(
        architecture.name,
        parameters.n_layer,
        parameters.n_head,
        parameters.n_head_kv,
        parameters.n_expert,
    )


def _kept_types(tensors: Iterable[MappedTensor]) -> dict[str, TensorType]:
    """What is in four bits already stays as it is; llama.cpp's converter does the same."""
    return {tensor.name: TensorType.MXFP4 for tensor in tensors if tensor.source.dtype == "MXFP4"}


def _stated_type(file_type: FileType, tensors: Iterable[MappedTensor]) -> FileType:
    """What the metadata call the file. Source: conversion/base.py, prepare_metadata."""
    is_wide = file_type in (FileType.F32, FileType.F16, FileType.BF16)
    return FileType.MXFP4_MOE if is_wide and _kept_types(tensors) else file_type


def _entry(item: TypedTensor, file_type: FileType) -> TensorEntry:
    shape = item.tensor.shape
    while is_mixed(file_type) and len(shape) > 1 and shape[0] == 1:
        shape = shape[1:]  # ggml, and so its quantiser, does not count outer dimensions of 1
    return TensorEntry(item.tensor.name, shape, item.tensor_type)


def _metadata(
    checkpoint: Checkpoint,
    architecture: Architecture,
    parameters: Hyperparameters,
    file_type: FileType,
    *,
    tensors: Iterable[MappedTensor],
    count: ParameterCount,
) -> KeyValues:
    key_values = KeyValues()
    key_values.string("general.architecture", architecture.name)
    add_general(key_values, checkpoint, count)
    add_model(key_values, architecture, parameters, _stated_type(file_type, tensors))
    add_tokenizer(key_values, checkpoint, architecture, parameters)
    if is_mixed(file_type):
        # llama.cpp's quantiser sets these two anew, which puts them last
        key_values.move_to_end("general.quantization_version")
        key_values.move_to_end("general.file_type")
    return key_values


def _without_weights(directory: Path) -> Checkpoint:
    config = read_json_object(directory / "config.json")
    architecture = architecture_of(config)
    parameters = read_parameters(config, architecture)
    dtype = _DTYPES.get(str(config.get("dtype") or config.get("torch_dtype")), "BF16")
    tensors = {
        name: StoredTensor(directory / "config.json", name, rule.dtype or dtype, shape, 0, 0)
        for name, rule, shape in _promised_tensors(architecture, parameters)
    }
    return Checkpoint(directory, config, dict(sorted(tensors.items())))


def _promised_tensors(
    architecture: Architecture, parameters: Hyperparameters
) -> Iterator[tuple[str, TensorRule, tuple[int, ...]]]:
    named = set()
    for expected in expected_tensors(architecture, parameters):
        if is_promised(expected.rule, parameters) and expected.name not in named:
            named.add(expected.name)
            shape = tuple(parameters.dimension(name) for name in expected.rule.shape)
            yield from ((name, expected.rule, shape) for name in expected.sources)
