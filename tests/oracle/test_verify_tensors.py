"""Tensor errors against gguf's reader and dequantiser on the finished file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader
from gguf.quants import dequantize

from localr1.verify.tensor_errors import OutputFileTensors, TensorError, tensor_errors
from localr1.verify.verifier import Verifier
from quant.blueprint import dry_run
from quant.dtypes import to_float32
from quant.pipeline import convert
from quant.source.safetensors import MappedShards
from tests.support.checkpoint_families import write_family
from tests.support.checkpoint_zoo import write_checkpoint


def _errors(source: Path, output: Path, file_type: str) -> list[TensorError]:
    plan = dry_run(source, output, file_type=file_type)
    with Verifier() as verifier:
        files = [OutputFileTensors(file.path, verifier.tensors(file.path)) for file in plan.files]
    return tensor_errors(plan.tensors, files, lambda _share: None, n_threads=2)


@pytest.mark.parametrize(
    ("kind", "file_type"),
    [("llama3", "Q4_K_M"), ("odd_rows", "Q4_K_M"), ("qwen2_tied", "Q8_0"), ("fp8", "Q4_0")],
)
def test_errors_are_those_that_an_independent_reader_finds(
    kind: str, file_type: str, tmp_path: Path
) -> None:
    source = write_checkpoint(kind, tmp_path)
    output = convert(source, tmp_path / "model.gguf", file_type=file_type).output

    errors = {error.name: error for error in _errors(source, output, file_type)}

    tensors = dry_run(source, output, file_type=file_type).tensors
    shards = MappedShards(stored for item in tensors for stored in item.tensor.source.stored)
    read = {tensor.name: tensor for tensor in GGUFReader(output).tensors}
    assert errors.keys() == read.keys()
    for item in tensors:
        rows = item.tensor.source
        source_values = to_float32(rows.rows(shards, 0, rows.n_rows), rows.dtype).astype(np.float64)
        found = read[item.tensor.name]
        result = dequantize(found.data, found.tensor_type).reshape(source_values.shape)
        rms = np.sqrt(np.square(result - source_values).sum() / np.square(source_values).sum())
        assert errors[item.tensor.name].rms == pytest.approx(rms, rel=1e-4, abs=1e-9)
        assert errors[item.tensor.name].n_checked == source_values.size


@pytest.mark.parametrize("name", ["mixtral", "gemma2", "fused_phi"])
def test_stacked_shifted_and_cut_rows_find_their_counterparts(name: str, tmp_path: Path) -> None:
    source = write_family(name, tmp_path)
    output = convert(source, tmp_path / "model.gguf", file_type="Q8_0").output

    errors = _errors(source, output, "Q8_0")

    assert max(error.rms for error in errors) < 0.01
    assert max(error.largest for error in errors) < 0.01


def test_the_tensors_of_a_split_output_are_found_in_all_its_files(tmp_path: Path) -> None:
    source = write_checkpoint("llama3", tmp_path)
    convert(source, tmp_path / "m.gguf", file_type="Q8_0", split_bytes=1_000_000)
    plan = dry_run(source, tmp_path / "m.gguf", file_type="Q8_0", split_bytes=1_000_000)
    with Verifier() as verifier:
        files = [OutputFileTensors(file.path, verifier.tensors(file.path)) for file in plan.files]

    errors = tensor_errors(plan.tensors, files, lambda _share: None, n_threads=1)

    assert len(plan.files) > 1
    assert len(errors) == len(plan.tensors)
    assert max(error.rms for error in errors) < 0.01
