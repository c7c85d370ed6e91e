"""Owns headers of published models whose families `convert` does not know, at their true sizes.

A golden file holds the key-values that follow from the model's config.json, and the table of
tensors that llama.cpp asks for with them (`llama_model_init_from_user` of the pinned version),
without those that the published model lacks. Layers that are alike share one list of tensors.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.gguf_writer import F32, Q8_0, write_model

_GOLDEN = Path(__file__).parents[1] / "golden" / "plan" / "published"
_TYPES = {"F32": F32, "Q8_0": Q8_0}


def published_names() -> list[str]:
    """Every model with a golden file."""
    return sorted(path.stem for path in _GOLDEN.glob("*.json"))


def write_published(path: Path, name: str) -> Path:
    """The model as a GGUF without weights: a header before a hole."""
    golden: dict[str, Any] = json.loads((_GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    tensors = dict(golden["tensors"])
    for i_layer, kind in enumerate(golden["layers"]):
        for tensor, row in golden["kinds"][kind].items():
            tensors[f"blk.{i_layer}.{tensor}"] = row
    rows = {tensor: (tuple(dims), _TYPES[kind]) for tensor, (kind, *dims) in tensors.items()}
    return write_model(path, {"tokenizer.ggml.model": "none", **golden["kv"]}, rows)
