"""Split outputs against llama.cpp: its splitter by hashes, its loader live."""

from __future__ import annotations

import hashlib
from pathlib import Path

from quant.gguf.types import FileType
from quant.pipeline import convert
from tests.support.checkpoint_llama import llama_quantise
from tests.support.checkpoint_zoo import write_checkpoint

_BY_GGUF_SPLIT = (
    "a07de8e8226bbe4b",
    "473d7e43af5b96d0",
    "16f261a69a43a430",
    "73282453b77c1d12",
)
"""`llama-gguf-split --split --split-max-size 1M` of llama-cpp-python 0.3.36's llama.cpp, built from
its source, on our r1-nano in Q4_K_M."""


def test_split_files_equal_those_of_llama_cpps_splitter(tmp_path: Path) -> None:
    source = write_checkpoint("r1_nano", tmp_path / "sources")

    convert(source, tmp_path / "m.gguf", split_bytes=10**6)

    files = sorted(tmp_path.glob("*.gguf"))
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in files]
    assert tuple(hashes) == _BY_GGUF_SPLIT


def test_llama_cpp_reads_the_split_files_as_one_model(tmp_path: Path) -> None:
    source = write_checkpoint("qwen2_tied", tmp_path)
    convert(source, tmp_path / "one.gguf", file_type="F16")
    first = convert(source, tmp_path / "m.gguf", file_type="F16", split_bytes=500_000).output

    # the quantiser opens every part and writes one file
    llama_quantise(first, tmp_path / "from_parts.gguf", FileType.Q8_0)
    llama_quantise(tmp_path / "one.gguf", tmp_path / "from_one.gguf", FileType.Q8_0)

    expected = (tmp_path / "from_one.gguf").read_bytes()
    assert (tmp_path / "from_parts.gguf").read_bytes() == expected
