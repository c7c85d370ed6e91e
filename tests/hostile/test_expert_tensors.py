"""Mixtures whose experts are not all there, or not all alike, or more than any file could hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from quant import slabs
from quant.errors import CheckpointDamagedError, UnsupportedError
from quant.output import files as output_files
from quant.pipeline import ConvertProgress, convert
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


def _fuse(arrays: dict[str, StoredArray], layers: range = range(3)) -> None:
    """Experts as transformers holds them: gate above up, one tensor for all."""
    for bid in layers:
        prefix = f"model.layers.{bid}.mlp.experts"
        parts = {
            part: [arrays.pop(f"{prefix}.{xid}.{part}_proj.weight").data for xid in range(8)]
            for part in ("gate", "up", "down")
        }
        fused = b"".join(map(bytes.__add__, parts["gate"], parts["up"]))
        arrays[f"{prefix}.gate_up_proj"] = StoredArray("BF16", (8, 512, 256), fused)
        down = b"".join(parts["down"])
        arrays[f"{prefix}.down_proj"] = StoredArray("BF16", (8, 256, 256), down)


@pytest.mark.parametrize("file_type", ["BF16", "Q4_K_M"])
def test_fused_experts_make_the_same_file_as_separate_ones(file_type: str, tmp_path: Path) -> None:
    (tmp_path / "fused").mkdir()
    fused = _with_tensors(tmp_path / "fused", _fuse)
    separate = write_family("qwen3moe", tmp_path)

    convert(fused, tmp_path / "a.gguf", file_type=file_type)
    convert(separate, tmp_path / "b.gguf", file_type=file_type)

    assert (tmp_path / "a.gguf").read_bytes() == (tmp_path / "b.gguf").read_bytes()


def test_experts_both_fused_and_separate_are_an_error(tmp_path: Path) -> None:
    def both(arrays: dict[str, StoredArray]) -> None:
        separate = dict(arrays)
        _fuse(arrays)
        arrays.update(separate)

    error = refusal(_with_tensors(tmp_path, both), tmp_path)

    assert "blk.0.ffn_down_exps.weight in two ways" in error.message


def test_a_separate_expert_beside_fused_ones_is_an_error(tmp_path: Path) -> None:
    def one_too_many(arrays: dict[str, StoredArray]) -> None:
        expert = arrays[_EXPERT]
        _fuse(arrays)
        arrays[_EXPERT] = expert

    error = refusal(_with_tensors(tmp_path, one_too_many), tmp_path)

    assert "lacks tensor 'model.layers.1.mlp.experts.0.up_proj.weight'" in error.message


def test_fused_experts_without_their_other_half_are_an_error(tmp_path: Path) -> None:
    def halved(arrays: dict[str, StoredArray]) -> None:
        _fuse(arrays)
        del arrays["model.layers.2.mlp.experts.gate_up_proj"]

    error = refusal(_with_tensors(tmp_path, halved), tmp_path)

    assert "lacks tensor 'model.layers.2.mlp.experts.0.gate_proj.weight'" in error.message


@pytest.mark.parametrize("family", ["qwen3moe", "gpt_oss", "gpt_oss_wide"])
def test_a_stack_that_was_cut_short_goes_on_where_it_was(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slabs, "_SLAB_WEIGHTS", 10_000)
    monkeypatch.setattr(output_files, "MARK_EVERY_BYTES", 1000)
    source = write_family(family, tmp_path)
    whole = convert(source, tmp_path / "whole.gguf", file_type="Q4_0").output.read_bytes()
    n_left = 0

    def interrupt(progress: ConvertProgress) -> None:
        nonlocal n_left
        n_left -= "_exps" in progress.tensor
        if n_left == 0:
            raise KeyboardInterrupt

    for n_slabs in (40, 41, 97):
        n_left = n_slabs
        with pytest.raises(KeyboardInterrupt):
            convert(source, tmp_path / "m.gguf", file_type="Q4_0", on_progress=interrupt)
    done = convert(source, tmp_path / "m.gguf", file_type="Q4_0")

    assert done.bytes_kept > 0
    assert done.output.read_bytes() == whole


def test_a_dense_model_may_say_that_it_has_no_experts(tmp_path: Path) -> None:
    source = write_family("qwen3", tmp_path)
    convert(source, tmp_path / "a.gguf", file_type="BF16")
    change_json(source / "config.json", num_experts=0)

    convert(source, tmp_path / "b.gguf", file_type="BF16")

    assert (tmp_path / "a.gguf").read_bytes() == (tmp_path / "b.gguf").read_bytes()


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
