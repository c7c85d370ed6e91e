"""Owns the small checkpoint of each model family, written anew from its golden file.

A golden file holds the config and the names and shapes that transformers saves for it; the weights
are seeded by their place in that list. The tokenizer is the embedded model's, or a SentencePiece
model of 900 tokens, trained on this project's own documents.
"""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.checkpoint_files import (
    StoredArray,
    as_stored,
    seeded_array,
    write_safetensors,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "quant" / "families"
SENTENCEPIECE = GOLDEN.parent / "sentencepiece"
_R1_NANO = Path(__file__).parents[2] / "localr1" / "demo" / "r1-nano"
PROMPT = [1017, 5, 17, 300, 41, 1000, 9, 77, 512, 3, 64, 250]
"""Token ids whose logits the golden files keep."""


def family_names() -> list[str]:
    """Every family with a golden file."""
    return sorted(path.stem for path in GOLDEN.glob("*.json"))


def read_family(name: str) -> dict[str, Any]:
    """The golden file: config, shapes, what llama.cpp's converter wrote, transformers' logits."""
    golden: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    return golden


def write_family(name: str, parent: Path, *, has_feed_forward: bool = True) -> Path:
    """The family's checkpoint in a directory of its own under `parent`."""
    golden = read_family(name)
    directory = parent / name
    write_family_files(directory, golden)
    weights = seeded_weights(golden)
    if not has_feed_forward:
        weights = without_feed_forward(weights)
    write_safetensors(directory / "model.safetensors", weights)
    return directory


def write_family_files(directory: Path, golden: dict[str, Any]) -> None:
    """Everything of a checkpoint but its weights."""
    directory.mkdir(parents=True)
    (directory / "config.json").write_text(json.dumps(golden["config"]), encoding="utf-8")
    is_sentencepiece = golden.get("tokenizer") == "sentencepiece"
    origin = SENTENCEPIECE if is_sentencepiece else _R1_NANO
    last = "tokenizer.model" if is_sentencepiece else "generation_config.json"
    for name in ("tokenizer.json", "tokenizer_config.json", last):
        shutil.copyfile(origin / name, directory / name)


def seeded_weights(golden: dict[str, Any]) -> dict[str, StoredArray]:
    """BF16 weights for the shapes; norms act as a factor near one, as trained ones do."""
    stores_distance_from_one = golden["config"]["model_type"].startswith("gemma")
    return {
        name: _seeded_codes(seed, name, shape)
        if name.endswith(("_blocks", "_scales"))
        else _seeded(
            seed, shape, is_near_one=name.endswith("norm.weight") and not stores_distance_from_one
        )
        for seed, (name, shape) in enumerate(golden["shapes"].items())
    }


def without_feed_forward(weights: dict[str, StoredArray]) -> dict[str, StoredArray]:
    """The same weights, but that nothing comes out of the feed-forward part."""
    return {
        name: StoredArray(stored.dtype, stored.shape, bytes(len(stored.data)))
        if name.endswith("mlp.down_proj.weight")
        else stored
        for name, stored in weights.items()
    }


def _seeded_codes(seed: int, name: str, shape: list[int]) -> StoredArray:
    """MXFP4: two codes of 4 bits in a byte; scales are powers of two that make weights small."""
    raw = np.random.PCG64(seed).random_raw(math.prod(shape)) >> np.uint64(40)
    values = 119 + raw % 5 if name.endswith("_scales") else raw
    return StoredArray("U8", tuple(shape), values.astype(np.uint8).tobytes())


def _seeded(seed: int, shape: list[int], *, is_near_one: bool) -> StoredArray:
    if not is_near_one:
        return seeded_array(seed, "BF16", tuple(shape))
    spread = np.frombuffer(seeded_array(seed, "F32", tuple(shape)).data, "<f4")
    return as_stored((np.float32(1) + spread).reshape(shape), "BF16")
