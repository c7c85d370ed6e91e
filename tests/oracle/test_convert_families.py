"""One small checkpoint of every family: llama.cpp's files and transformers' logits.

What is expected stands in tests/golden/quant/families, made by make_families.py beside it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from quant.gguf.types import FileType, TensorType
from quant.pipeline import convert
from quant.recipe.overrides import TypeOverride
from tests.support.checkpoint_families import (
    PROMPT,
    family_names,
    read_family,
    write_family,
)
from tests.support.checkpoint_files import describe_gguf
from tests.support.checkpoint_llama import llama_logits, llama_quantise_all

_MIXED = (FileType.Q4_0, FileType.Q4_K_M, FileType.Q6_K, FileType.IQ4_XS)

_TOLERANCE = {
    "gemma2": 5e-4,  # llama.cpp looks GELU up in a table of halves
    "gemma3": 5e-4,
    "gemma3_multimodal": 5e-4,
    "deepseek_lite": 1e-5,  # differences of 27 layers
}
"""By how much a logit may differ from transformers', as a part of the largest one, where it is
more than usual."""

_WIDENED = {"gpt_oss": [TypeOverride("_exps[.]weight", TensorType.F32)]}
"""What F32 would leave as it is; llama.cpp rounds to 8 bits what it multiplies MXFP4 with."""


@pytest.mark.parametrize("name", family_names())
def test_plain_types_equal_the_files_of_llama_cpps_converter(name: str, tmp_path: Path) -> None:
    golden = read_family(name)
    source = write_family(name, tmp_path)

    convert(source, tmp_path / "bf16.gguf", file_type="BF16")

    ours = describe_gguf(tmp_path / "bf16.gguf")
    assert list(ours["metadata"].items()) == list(golden["bf16"]["metadata"].items())
    assert list(ours["tensors"].items()) == list(golden["bf16"]["tensors"].items())
    for file_type, digest in golden["sha256"].items():
        output = tmp_path / f"{file_type}.gguf"
        convert(source, output, file_type=file_type, overwrite=True)
        assert describe_gguf(output)["sha256"] == digest, file_type


@pytest.mark.parametrize("name", family_names())
def test_mixed_types_equal_the_files_of_llama_cpps_quantiser(name: str, tmp_path: Path) -> None:
    source = write_family(name, tmp_path)
    convert(source, tmp_path / "plain.gguf", file_type="BF16")
    # what is in four bits already stays; llama.cpp does that if it is told to, else it refuses
    stays = {"_exps[.]weight": TensorType.MXFP4.value} if name == "gpt_oss" else None
    targets = [tmp_path / f"{file_type.name}.gguf" for file_type in _MIXED]
    llama_quantise_all(tmp_path / "plain.gguf", dict(zip(_MIXED, targets, strict=True)), stays)

    for file_type, target in zip(_MIXED, targets, strict=True):
        convert(source, tmp_path / "ours.gguf", file_type=file_type.name, overwrite=True)

        ours, theirs = describe_gguf(tmp_path / "ours.gguf"), describe_gguf(target)
        assert list(ours["tensors"].items()) == list(theirs["tensors"].items())
        assert list(ours["metadata"].items()) == list(theirs["metadata"].items())
        assert (tmp_path / "ours.gguf").read_bytes() == target.read_bytes()


@pytest.mark.parametrize("name", family_names())
def test_llama_cpp_computes_the_logits_of_transformers(name: str, tmp_path: Path) -> None:
    golden = read_family(name)
    convert(
        write_family(name, tmp_path),
        tmp_path / "wide.gguf",
        file_type="F32",
        overrides=_WIDENED.get(name, ()),
    )

    logits = llama_logits(tmp_path / "wide.gguf", PROMPT)

    tolerance = _TOLERANCE.get(name, 3e-6) * golden["largest_logit"]
    assert logits[: len(golden["logits"])] == pytest.approx(golden["logits"], abs=tolerance)


@pytest.mark.parametrize("name", [name for name in family_names() if name.startswith("gemma")])
def test_gemmas_logits_differ_by_nothing_but_the_table_of_gelu(name: str, tmp_path: Path) -> None:
    golden = read_family(name)
    source = write_family(name, tmp_path, has_feed_forward=False)
    convert(source, tmp_path / "wide.gguf", file_type="F32")

    logits = llama_logits(tmp_path / "wide.gguf", PROMPT)

    expected = golden["logits_without_feed_forward"]
    assert logits[: len(expected)] == pytest.approx(expected, abs=3e-6 * golden["largest_logit"])
