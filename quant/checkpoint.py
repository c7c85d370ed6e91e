"""Owns what a Hugging Face checkpoint directory is: its files, its config, its tensor index.

Shards are those the index names, else every `model*.safetensors`. The index is a stranger's list
of paths, so a name with a directory in it is refused. Symbolic links are followed: the hub's own
cache is made of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quant.errors import (
    CheckpointDamagedError,
    NotACheckpointError,
    SourceNotFoundError,
    UnsupportedError,
)
from quant.json_file import MIB, read_json_object
from quant.read_safetensors import MAX_TENSORS, StoredTensor, read_tensor_table

_INDEX = "model.safetensors.index.json"
_SHARD_NAME = re.compile(r"[\w][\w.\-]{0,250}", re.ASCII)
_NUMBERED_SHARD = re.compile(r"model-(\d{5})-of-(\d{5})\.safetensors")
_MAX_SHARDS = 1024


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A directory whose config and tensor headers have been read and checked."""

    directory: Path
    config: Mapping[str, Any]
    tensors: Mapping[str, StoredTensor]
    """By name, in the order of the shards and within a shard by name: llama.cpp's order."""

    def optional_json(self, name: str, *, max_bytes: int = 4 * MIB) -> dict[str, Any]:
        """A JSON object beside the config, or an empty one if there is no such file."""
        path = self.directory / name
        return read_json_object(path, max_bytes=max_bytes) if path.is_file() else {}


def checkpoint_directory(source: Path) -> Path:
    """The directory meant by a path to it or to a file in it, absolute, links not resolved."""
    source = Path(source).expanduser().absolute()
    try:
        exists, is_directory = source.exists(), source.is_dir()
    except OSError as exc:
        raise SourceNotFoundError(f"cannot read {source}: {exc.strerror}") from exc
    if not exists:
        raise SourceNotFoundError(f"there is no {source}")
    if is_directory:
        # `.` and `x/..` must have a name too: it goes into the metadata
        return source if source.name not in {"", ".."} else source.resolve()
    if source.suffix == ".gguf":
        raise UnsupportedError(
            f"{source} is a GGUF file; converting one GGUF into another is not supported",
            hint="give the checkpoint it was made from",
        )
    if source.suffix == ".safetensors" or source.name == _INDEX:
        return source.parent
    raise NotACheckpointError(f"{source} is neither a checkpoint directory nor a safetensors file")


def open_checkpoint(source: Path) -> Checkpoint:
    """Read and check everything but the tensor data. Raises: QuantError, naming file or tensor."""
    directory = checkpoint_directory(source)
    config = read_json_object(directory / "config.json")
    tensors: dict[str, StoredTensor] = {}
    index = _read_index(directory)
    for name in sorted(set(index.values())) or _shards_on_disk(directory):
        path = directory / name
        if not path.is_file():
            raise CheckpointDamagedError(f"{directory} lacks the shard {name}")
        for tensor_name, tensor in read_tensor_table(path).items():
            if tensor_name in tensors:
                raise CheckpointDamagedError(
                    f"tensor {tensor_name!r} is in {tensors[tensor_name].path.name} and in {name}"
                )
            tensors[tensor_name] = tensor
        if len(tensors) > MAX_TENSORS:
            raise CheckpointDamagedError(f"{directory} has over {MAX_TENSORS:,} tensors")
    _require_as_indexed(index, tensors)
    return Checkpoint(directory, config, tensors)


def _read_index(directory: Path) -> dict[str, str]:
    path = directory / _INDEX
    if not path.is_file():
        return {}
    weight_map = read_json_object(path, max_bytes=32 * MIB).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map or len(weight_map) > MAX_TENSORS:
        raise CheckpointDamagedError(f"{path} has no usable weight_map")
    shards = set()
    for tensor_name, shard in weight_map.items():
        if not isinstance(shard, str) or not _SHARD_NAME.fullmatch(shard):
            raise CheckpointDamagedError(
                f"{path}: tensor {tensor_name[:200]!r} is said to be in {str(shard)[:200]!r}, "
                "which is no file name"
            )
        shards.add(shard)
    if len(shards) > _MAX_SHARDS:
        raise CheckpointDamagedError(f"{path} names over {_MAX_SHARDS} shards")
    return weight_map


def _shards_on_disk(directory: Path) -> list[str]:
    try:
        files = list(directory.iterdir())
    except OSError as exc:
        raise SourceNotFoundError(f"cannot read {directory}: {exc.strerror}") from exc
    names = sorted(path.name for path in files if path.match("model*.safetensors"))
    if not names:
        hint = ""
        if any(path.suffix == ".bin" for path in files):
            hint = "PyTorch .bin files are not supported; save the model as safetensors"
        elif any(path.suffix == ".gguf" for path in files):
            hint = "it holds a GGUF file, which needs no conversion"
        raise NotACheckpointError(f"{directory} has no model.safetensors", hint=hint)
    for name in names:
        if match := _NUMBERED_SHARD.fullmatch(name):
            _require_complete_series(directory, set(names), n_shards=int(match[2]))
    return names


def _require_complete_series(directory: Path, names: set[str], *, n_shards: int) -> None:
    for number in range(1, min(n_shards, _MAX_SHARDS) + 1):
        name = f"model-{number:05d}-of-{n_shards:05d}.safetensors"
        if name not in names:
            raise CheckpointDamagedError(f"{directory} lacks the shard {name}")


def _require_as_indexed(index: Mapping[str, str], tensors: Mapping[str, StoredTensor]) -> None:
    for name, shard in index.items():
        if name not in tensors or tensors[name].path.name != shard:
            raise CheckpointDamagedError(
                f"{shard} lacks tensor {name!r}, which {_INDEX} puts there"
            )
    if index and (extra := next((name for name in tensors if name not in index), None)):
        raise CheckpointDamagedError(
            f"{tensors[extra].path.name} holds tensor {extra!r}, which {_INDEX} does not know"
        )
