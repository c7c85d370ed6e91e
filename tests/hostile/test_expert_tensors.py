"""Mixtures whose experts are not all there, or not all alike, or more than any file could hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from quant.errors import CheckpointDamagedError, UnsupportedError
from tests.support.checkpoint_families import write_family
from tests.support.checkpoint_files import (
    StoredArray,
    read_safetensors,
    seeded_array,
    write_safetensors,
)
from tests.support.checkpoint_refusals import refusal
from tests.support.checkpoint_zoo import change_json

_EXPERT = "model.layers.1.mlp.experts.5.up_proj.weight"


def _with_tensors(parent: Path, change: Callable[[dict[str, StoredArray]], object]) -> Path:
    source = write_family("qwen3moe", parent)
    arrays = read_safetensors(source / "model.safetensors")
    change(arrays)
    write_safetensors(source / "model.safetensors", arrays)
    return source


def test_a_missing_expert_is_named(tmp_path: Path) -> None:
    error = refusal(_with_tensors(tmp_path, lambda arrays: arrays.pop(_EXPERT)), tmp_path)

    assert isinstance(error, CheckpointDamagedError)
    assert f"lacks tensor {_EXPERT!r}" in error.message


def test_an_expert_of_another_shape_is_named(tmp_path: Path) -> None:
    changed = {_EXPERT: seeded_array(1, "BF16", (128, 256))}

    error = refusal(_with_tensors(tmp_path, lambda arrays: arrays.update(changed)), tmp_path)

    assert isinstance(error, CheckpointDamagedError)
    assert f"{_EXPERT!r} is [128, 256], config.json makes it [256, 256]" in error.message


def test_an_expert_too_many_is_named(tmp_path: Path) -> None:
    extra = _EXPERT.replace(".5.", ".8.")
    added = {extra: seeded_array(1, "BF16", (256, 256))}

    error = refusal(_with_tensors(tmp_path, lambda arrays: arrays.update(added)), tmp_path)

    assert isinstance(error, UnsupportedError)
    assert f"tensor {extra!r} is no part of a qwen3moe model" in error.message


def test_an_expert_with_infinity_is_named_by_its_stack(tmp_path: Path) -> None:
    changed = {_EXPERT: StoredArray("BF16", (256, 256), b"\x80\x7f" * 256 * 256)}

    error = refusal(_with_tensors(tmp_path, lambda arrays: arrays.update(changed)), tmp_path)

    assert error.message == "tensor blk.1.ffn_up_exps.weight: it holds NaN or infinity"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_experts": 4096}, "'model.layers.0.mlp.gate.weight' is [8, 256]"),
        ({"num_experts": 4096, "num_hidden_layers": 512}, "promises over 262,144 tensors"),
    ],
)
def test_more_experts_than_there_are_tensors_are_an_error(
    changes: dict[str, int], words: str, tmp_path: Path
) -> None:
    source = write_family("qwen3moe", tmp_path)
    change_json(source / "config.json", **changes)

    assert words in refusal(source, tmp_path).message
