"""Our GGUFs against llama.cpp's own: its converter by a golden file, its quantiser live.

The golden file and how it was made: tests/golden/quant/make_golden.py. Equality is of whole files,
byte for byte; the tables of keys and tensors are there to say what differs when something does.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from quant.gguf.types import FileType
from quant.pipeline import convert
from tests.support.checkpoint_files import describe_gguf
from tests.support.checkpoint_llama import llama_quantise
from tests.support.checkpoint_zoo import write_checkpoint

_GOLDEN: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "golden" / "quant" / "converter.json").read_text(encoding="utf-8")
)
_LOSSLESS_TYPE = {
    "r1_nano": "BF16",
    "llama3": "BF16",
    "qwen2_tied": "F32",
    "odd_rows": "F16",
    "fp8": "F32",
}
"""The GGUF type that holds a checkpoint's weights as they are: what the quantiser starts from."""


@pytest.mark.parametrize("file_type", ["f32", "f16", "bf16", "q8_0"])
@pytest.mark.parametrize("kind", list(_GOLDEN))
def test_plain_types_equal_the_file_of_llama_cpps_converter(
    kind: str, file_type: str, tmp_path: Path
) -> None:
    expected = _GOLDEN[kind][file_type]

    convert(write_checkpoint(kind, tmp_path), tmp_path / "ours.gguf", file_type=file_type)

    ours = describe_gguf(tmp_path / "ours.gguf")
    assert ours["metadata"] == expected["metadata"]
    assert list(ours["tensors"].items()) == list(expected["tensors"].items())
    assert ours["sha256"] == expected["sha256"]


def test_shards_give_the_same_file_as_one(tmp_path: Path) -> None:
    source = write_checkpoint("r1_nano_sharded", tmp_path)

    convert(source, tmp_path / "ours.gguf", file_type="BF16")

    # names are spread over the shards, so the order differs and the content must not
    ours, expected = describe_gguf(tmp_path / "ours.gguf"), _GOLDEN["r1_nano"]["bf16"]
    assert ours["metadata"] == expected["metadata"]
    assert ours["tensors"] == expected["tensors"]


@pytest.mark.parametrize("file_type", ["Q4_0", "Q4_K_S", "Q4_K_M"])
@pytest.mark.parametrize("kind", list(_LOSSLESS_TYPE))
def test_mixed_types_equal_the_file_of_llama_cpps_quantiser(
    kind: str, file_type: str, tmp_path: Path
) -> None:
    source = write_checkpoint(kind, tmp_path)
    convert(source, tmp_path / "plain.gguf", file_type=_LOSSLESS_TYPE[kind])
    llama_quantise(tmp_path / "plain.gguf", tmp_path / "theirs.gguf", FileType[file_type])

    convert(source, tmp_path / "ours.gguf", file_type=file_type)

    ours, theirs = describe_gguf(tmp_path / "ours.gguf"), describe_gguf(tmp_path / "theirs.gguf")
    assert list(ours["metadata"].items()) == list(theirs["metadata"].items())
    assert list(ours["tensors"].items()) == list(theirs["tensors"].items())
    assert (tmp_path / "ours.gguf").read_bytes() == (tmp_path / "theirs.gguf").read_bytes()


def test_every_fallback_of_the_mix_occurs_in_the_test_checkpoints(tmp_path: Path) -> None:
    types: set[str] = set()
    for kind in ("qwen2_tied", "odd_rows"):
        for file_type in ("Q4_K_M", "Q4_K_S"):
            output = tmp_path / f"{kind}-{file_type}.gguf"
            source = write_checkpoint(kind, tmp_path / file_type)
            types |= convert(source, output, file_type=file_type).tensor_types.keys()

    assert types == {"F32", "F16", "Q8_0", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K"}
