"""GGUFs made from GGUFs against llama.cpp's quantiser: whole files, byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from quant.gguf.types import FileType, TensorType
from quant.pipeline import convert
from quant.recipe.overrides import parse_override
from tests.support.checkpoint_families import write_family
from tests.support.checkpoint_files import describe_gguf
from tests.support.checkpoint_llama import llama_quantise
from tests.support.checkpoint_zoo import write_checkpoint

_CASES = [
    ("llama3", "BF16", "Q8_0"),
    ("llama3", "F16", "BF16"),
    ("llama3", "BF16", "IQ4_XS"),
    ("qwen2_tied", "F32", "F16"),
    ("qwen2_tied", "F32", "Q4_0"),
    ("qwen2_tied", "Q8_0", "Q4_K_M"),
    ("odd_rows", "F16", "Q5_K_S"),
    ("odd_rows", "Q8_0", "F32"),
    ("r1_nano", "BF16", "Q5_K_M"),
    ("r1_nano", "Q8_0", "Q4_1"),
]


@pytest.mark.parametrize(("kind", "source_type", "file_type"), _CASES)
def test_a_gguf_becomes_the_file_that_llama_cpps_quantiser_makes_of_it(
    kind: str, source_type: str, file_type: str, tmp_path: Path
) -> None:
    source = tmp_path / "source.gguf"
    convert(write_checkpoint(kind, tmp_path), source, file_type=source_type)
    llama_quantise(source, tmp_path / "theirs.gguf", FileType[file_type])

    convert(source, tmp_path / "ours.gguf", file_type=file_type)

    _require_same_files(tmp_path)


@pytest.mark.parametrize("name", ["deepseek_lite", "fused_phi", "gemma3"])
def test_a_gguf_of_another_kind_of_model_becomes_llama_cpps_file(name: str, tmp_path: Path) -> None:
    source = tmp_path / "source.gguf"
    convert(write_family(name, tmp_path), source, file_type="BF16")
    llama_quantise(source, tmp_path / "theirs.gguf", FileType.Q4_K_M)

    convert(source, tmp_path / "ours.gguf", file_type="Q4_K_M")

    _require_same_files(tmp_path)


def test_experts_in_mxfp4_stay_what_they_are(tmp_path: Path) -> None:
    source = tmp_path / "source.gguf"
    convert(write_family("gpt_oss", tmp_path), source, file_type="BF16")
    stays = {"_exps": TensorType.MXFP4}
    llama_quantise(source, tmp_path / "theirs.gguf", FileType.Q4_K_M, stays)

    convert(source, tmp_path / "ours.gguf", file_type="Q4_K_M")

    _require_same_files(tmp_path)


def test_a_gguf_in_parts_gives_the_same_file_as_one(tmp_path: Path) -> None:
    checkpoint = write_checkpoint("qwen2_tied", tmp_path)
    convert(checkpoint, tmp_path / "one.gguf", file_type="F32")
    first = convert(checkpoint, tmp_path / "m.gguf", file_type="F32", split_bytes=10**6).output

    assert len(list(tmp_path.glob("m-*.gguf"))) > 2

    convert(first, tmp_path / "from_parts.gguf")
    convert(tmp_path / "one.gguf", tmp_path / "from_one.gguf")

    expected = (tmp_path / "from_one.gguf").read_bytes()
    assert (tmp_path / "from_parts.gguf").read_bytes() == expected


def test_types_by_name_are_those_of_llama_cpps_quantiser(tmp_path: Path) -> None:
    source = tmp_path / "source.gguf"
    convert(write_checkpoint("qwen2_tied", tmp_path), source, file_type="F32")
    by_name = {r"blk\.[02]\.attn_[vk]": "Q8_0", "attn_v": "Q5_1", r"^token": "IQ4_NL"}
    numbers = {pattern: TensorType[kind] for pattern, kind in by_name.items()}
    llama_quantise(source, tmp_path / "theirs.gguf", FileType.Q4_K_M, numbers)

    overrides = [parse_override(f"{pattern}={kind}") for pattern, kind in by_name.items()]
    convert(source, tmp_path / "ours.gguf", overrides=overrides)

    _require_same_files(tmp_path)


def _require_same_files(directory: Path) -> None:
    ours, theirs = directory / "ours.gguf", directory / "theirs.gguf"
    mine, expected = describe_gguf(ours), describe_gguf(theirs)
    assert list(mine["metadata"].items()) == list(expected["metadata"].items())
    assert list(mine["tensors"].items()) == list(expected["tensors"].items())
    assert ours.read_bytes() == theirs.read_bytes()
