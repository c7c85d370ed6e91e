"""Checkpoints that also see: the part for text becomes a GGUF, the rest is left out and told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from quant.blueprint import dry_run
from quant.errors import CheckpointDamagedError
from quant.pipeline import convert
from tests.support.checkpoint_families import read_family, write_family
from tests.support.checkpoint_files import describe_gguf, read_safetensors, write_safetensors
from tests.support.checkpoint_refusals import refusal
from tests.support.checkpoint_zoo import change_json

_PUBLISHED, _OTHER = "language_model.model.", "model.language_model."


def _write_renamed(parent: Path, rename: Callable[[str], str]) -> Path:
    source = write_family("gemma3_multimodal", parent)
    arrays = read_safetensors(source / "model.safetensors")
    write_safetensors(
        source / "model.safetensors", {rename(name): array for name, array in arrays.items()}
    )
    return source


def _other_name(name: str) -> str:
    if name.startswith(_PUBLISHED):
        return _OTHER + name.removeprefix(_PUBLISHED)
    return f"model.{name}"


def test_parts_under_their_other_names_give_the_same_tensors(tmp_path: Path) -> None:
    expected = read_family("gemma3_multimodal")["bf16"]
    source = _write_renamed(tmp_path, _other_name)

    convert(source, tmp_path / "plain.gguf", file_type="BF16")

    ours = describe_gguf(tmp_path / "plain.gguf")
    assert ours["tensors"] == expected["tensors"]
    assert ours["metadata"] == expected["metadata"]


def test_the_part_that_is_left_out_is_told(tmp_path: Path) -> None:
    source = write_family("gemma3_multimodal", tmp_path)
    shapes = read_family("gemma3_multimodal")["shapes"]

    plan = dry_run(source, tmp_path / "plain.gguf", file_type="Q8_0")

    n_left_out = sum(not name.startswith(_PUBLISHED) for name in shapes)
    assert plan.notices == (f"the part that sees pictures is left out ({n_left_out} tensors)",)


def test_a_tensor_that_is_for_neither_text_nor_pictures_is_refused(tmp_path: Path) -> None:
    source = _write_renamed(tmp_path, lambda name: name.replace("vision_tower", "ears"))

    assert "tensor 'ears." in refusal(source, tmp_path).message


def test_a_tensor_under_two_names_is_refused(tmp_path: Path) -> None:
    source = write_family("gemma3_multimodal", tmp_path)
    arrays = read_safetensors(source / "model.safetensors")
    again = {_OTHER + "norm.weight": arrays[_PUBLISHED + "norm.weight"]}
    write_safetensors(source / "model.safetensors", arrays | again)

    assert "'model.norm.weight' under two names" in refusal(source, tmp_path).message


@pytest.mark.parametrize("text_config", [7, [], "gemma"])
def test_a_part_for_text_that_is_no_object_is_refused(text_config: object, tmp_path: Path) -> None:
    source = write_family("gemma3_multimodal", tmp_path)
    change_json(source / "config.json", text_config=text_config)

    error = refusal(source, tmp_path)

    assert isinstance(error, CheckpointDamagedError)
    assert "text_config is no object" in error.message
