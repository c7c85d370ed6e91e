"""Owns which files of a directory hold the weights, in safetensors or PyTorch's format.

Shards are those the index names, else those the directory has under the usual names; safetensors
before PyTorch. The index is a stranger's list of paths, so a name with a directory in it is
refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from quant.errors import CheckpointDamagedError, NotACheckpointError
from quant.source.json_file import MIB, read_json_object
from quant.source.pytorch import read_pytorch_table
from quant.source.safetensors import MAX_TENSORS, StoredTensor, read_tensor_table

_SHARD_NAME = re.compile(r"[\w][\w.\-]{0,250}", re.ASCII)
_MAX_SHARDS = 1024


@dataclass(frozen=True, slots=True)
class WeightFormat:
    """How a format names its files, and what reads one."""

    stem: str
    suffix: str
    read_table: Callable[[Path], dict[str, StoredTensor]]

    @property
    def index(self) -> str:
        """The file that says which tensor is in which shard."""
        return f"{self.stem}{self.suffix}.index.json"


_FORMATS = (
    WeightFormat("model", ".safetensors", read_tensor_table),
    WeightFormat("pytorch_model", ".bin", read_pytorch_table),
)


@dataclass(frozen=True, slots=True)
class Shards:
    """The files that hold the weights, in the order they are read."""

    names: Sequence[str]
    weight_map: Mapping[str, str]
    """Shard of each tensor as the index has it; empty without an index."""
    weight_format: WeightFormat

    def require_as_indexed(self, tensors: Mapping[str, StoredTensor]) -> None:
        """Raises: CheckpointDamagedError unless the index and the shards agree."""
        index = self.weight_format.index
        for name, shard in self.weight_map.items():
            if name not in tensors or tensors[name].path.name != shard:
                raise CheckpointDamagedError(
                    f"{shard} lacks tensor {name!r}, which {index} puts there"
                )
        if not self.weight_map:
            return
        if extra := next((name for name in tensors if name not in self.weight_map), None):
            raise CheckpointDamagedError(
                f"{tensors[extra].path.name} holds tensor {extra!r}, which {index} does not know"
            )


def holds_weights(path: Path) -> bool:
    """Whether a file's name says that its directory is a checkpoint."""
    return any(path.suffix == known.suffix or path.name == known.index for known in _FORMATS)


def has_weights(files: Sequence[str]) -> bool:
    """Whether any of a directory's files holds weights, or is an index of them."""
    return any(
        name == known.index or (name.startswith(known.stem) and name.endswith(known.suffix))
        for known in _FORMATS
        for name in files
    )


def find_shards(directory: Path, files: Sequence[str]) -> Shards:
    """The weights among a checkpoint's files. Raises: QuantError naming what is missing."""
    for known in _FORMATS:
        weight_map = _read_index(directory / known.index) if known.index in files else {}
        names = sorted(set(weight_map.values())) or _shards_among(files, known, directory)
        if names:
            return Shards(names, weight_map, known)
    hint = "fetch the rest of the checkpoint; --dry-run needs no weights"
    if any(name.endswith(".gguf") for name in files):
        hint = "it holds a GGUF: name the file itself to give it another type"
    raise NotACheckpointError(
        f"{directory} has no model.safetensors and no pytorch_model.bin", hint=hint
    )


def _read_index(path: Path) -> dict[str, str]:
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


def _shards_among(files: Sequence[str], known: WeightFormat, directory: Path) -> list[str]:
    names = [name for name in files if name.startswith(known.stem) and name.endswith(known.suffix)]
    numbered = re.compile(rf"{known.stem}-(\d{{5}})-of-(\d{{5}}){re.escape(known.suffix)}")
    for name in names:
        if match := numbered.fullmatch(name):
            for number in range(1, min(int(match[2]), _MAX_SHARDS) + 1):
                wanted = f"{known.stem}-{number:05d}-of-{match[2]}{known.suffix}"
                if wanted not in names:
                    raise CheckpointDamagedError(f"{directory} lacks the shard {wanted}")
    return names
