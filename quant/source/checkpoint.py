"""Owns what a Hugging Face checkpoint directory is: its files, its config, its tensor index.

Symbolic links are followed: the hub's own cache is made of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quant.errors import (
    CheckpointDamagedError,
    NotACheckpointError,
    SourceNotFoundError,
    unreadable,
)
from quant.source.fp8 import fold_scales
from quant.source.json_file import MIB, read_json_object
from quant.source.mxfp4 import fold_blocks
from quant.source.safetensors import MAX_TENSORS, StoredTensor
from quant.source.shard_files import find_shards, holds_weights
from quant.source.shard_store import ON_DISK, ShardStore


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A directory whose config and tensor headers have been read and checked."""

    directory: Path
    config: Mapping[str, Any]
    tensors: Mapping[str, StoredTensor]
    """By name, in the order of the shards and within a shard by name: llama.cpp's order."""
    store: ShardStore = ON_DISK

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
        raise unreadable(source, exc) from exc
    if not exists:
        raise SourceNotFoundError(f"there is no {source}")
    if is_directory:
        # `.` and `x/..` must have a name too: it goes into the metadata
        return source if source.name not in {"", ".."} else source.resolve()
    if holds_weights(source):
        return source.parent
    raise NotACheckpointError(
        f"{source} is neither a checkpoint directory nor a file of weights",
        hint="give the directory, or a GGUF",
    )


def open_checkpoint(source: Path, store: ShardStore = ON_DISK) -> Checkpoint:
    """Read and check everything but the tensor data.

    `store` has the weights; everything else lies in the directory. Raises: QuantError, naming file
    or tensor.
    """
    directory = checkpoint_directory(source)
    config = read_json_object(directory / "config.json")
    shards = find_shards(directory, store.names(directory))
    tensors: dict[str, StoredTensor] = {}
    for table in store.tables([directory / name for name in shards.names], shards.weight_format):
        for name, tensor in table.items():
            if name in tensors:
                raise CheckpointDamagedError(
                    f"tensor {name!r} is in {tensors[name].path.name} and in {tensor.path.name}"
                )
            tensors[name] = tensor
        if len(tensors) > MAX_TENSORS:
            raise CheckpointDamagedError(f"{directory} has over {MAX_TENSORS:,} tensors")
    shards.require_as_indexed(tensors)
    folded = fold_blocks(fold_scales(tensors, config), config)
    return Checkpoint(directory, config, folded, store)
