"""Checkpoints as a hub has them: cut into shards, with an index, in a directory to compare with."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

from tests.support.checkpoint_families import family_names, write_family
from tests.support.checkpoint_files import StoredArray, read_safetensors, write_safetensors
from tests.support.checkpoint_zoo import write_checkpoint
from tests.support.hub_server import FakeHub


def sharded_checkpoint(parent: Path, n_shards: int, kind: str = "odd_rows") -> Path:
    """A checkpoint in so many shards, its last tensors first: as bad an order as there is."""
    write = write_family if kind in family_names() else write_checkpoint
    whole = write(kind, parent / "whole")
    directory = parent / "local" / "odd-rows"
    shutil.copytree(whole, directory, ignore=shutil.ignore_patterns("*.safetensors*"))
    arrays: dict[str, StoredArray] = {}
    for path in sorted(whole.glob("*.safetensors")):
        arrays |= read_safetensors(path)
    names = sorted(arrays, reverse=True)
    per_shard = math.ceil(len(names) / n_shards)
    weight_map: dict[str, str] = {}
    for number in range(n_shards):
        shard = f"model-{number + 1:05d}-of-{n_shards:05d}.safetensors"
        group = names[number * per_shard : (number + 1) * per_shard]
        write_safetensors(directory / shard, {name: arrays[name] for name in group})
        weight_map |= dict.fromkeys(group, shard)
    index = {"metadata": {}, "weight_map": weight_map}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    return directory


def hub_with(directory: Path) -> FakeHub:
    """A hub that has the directory's files."""
    return FakeHub(
        {
            str(path.relative_to(directory)): path.read_bytes()
            for path in sorted(directory.rglob("*"))
            if path.is_file()
        }
    )
