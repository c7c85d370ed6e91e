"""Conversions led by an importance matrix against llama.cpp's quantiser with the same one.

The matrix is made up: some tensors are missing, and experts that no token reached.
"""

from __future__ import annotations

import math
import re
import shutil
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt
import pytest

from quant.blueprint import draw
from quant.errors import BadRequestError, ImportanceFileError, QuantError
from quant.gguf.types import FileType
from quant.importance.reader import read_importance
from quant.pipeline import _fingerprint, convert
from quant.source.checkpoint import open_checkpoint
from quant.source.shard_store import ON_DISK
from tests.support.checkpoint_families import write_family
from tests.support.checkpoint_zoo import write_checkpoint
from tests.support.importance_files import legacy_importance, write_gguf_importance
from tests.support.importance_llama import llama_quantise_led

Entry = tuple[npt.NDArray[np.float32], list[float]]
_TYPES = ["Q4_0", "Q4_1", "Q4_K_S", "Q4_K_M", "Q5_K_M", "Q6_K", "IQ4_NL", "IQ4_XS"]


def _made_up(model: Path) -> dict[str, Entry]:
    """Importance for most matrices of a GGUF."""
    entries: dict[str, Entry] = {}
    for seed, tensor in enumerate(gguf.GGUFReader(model).tensors):
        n_cols, *rest = (int(size) for size in tensor.shape)
        if not rest or tensor.name == "token_embd.weight" or seed % 9 == 0:
            continue
        n_matrices = math.prod(rest[1:])
        # raw output is stable across numpy versions; its distributions are not
        raw = np.random.PCG64(seed).random_raw(n_matrices * n_cols) >> np.uint64(40)
        sums = (raw.astype(np.float32) / np.float32(2**16)).reshape(n_matrices, n_cols)
        counts = [float(7 * number % 5) for number in range(1, n_matrices + 1)]
        entries[tensor.name] = sums, counts
    return entries


def _identical(source: Path, plain_type: str, file_type: str, directory: Path) -> bool:
    plain, matrix = directory / "plain.gguf", directory / "imatrix.gguf"
    ours, theirs = directory / "ours.gguf", directory / "theirs.gguf"
    convert(source, plain, file_type=plain_type)
    write_gguf_importance(matrix, _made_up(plain))
    llama_quantise_led(plain, theirs, FileType[file_type], matrix)

    result = convert(source, ours, file_type=file_type, importance=read_importance(matrix))

    assert result.n_led > 5
    return ours.read_bytes() == theirs.read_bytes()


@pytest.mark.parametrize("file_type", _TYPES)
def test_file_equals_that_of_llama_cpps_quantiser(file_type: str, tmp_path: Path) -> None:
    assert _identical(write_checkpoint("qwen2_tied", tmp_path), "F32", file_type, tmp_path)


@pytest.mark.parametrize("file_type", ["Q4_K_M", "IQ4_XS"])
def test_types_that_replace_others_are_led_as_well(file_type: str, tmp_path: Path) -> None:
    assert _identical(write_checkpoint("odd_rows", tmp_path), "F16", file_type, tmp_path)


@pytest.mark.parametrize(
    ("family", "file_type"),
    [
        ("mixtral", "Q4_0"),
        ("mixtral", "Q4_K_M"),
        ("qwen2moe", "Q4_K_M"),
        ("qwen2moe", "IQ4_XS"),
        ("qwen3moe", "MXFP4_MOE"),
    ],
)
def test_each_expert_is_led_by_its_own_part(family: str, file_type: str, tmp_path: Path) -> None:
    assert _identical(write_family(family, tmp_path), "BF16", file_type, tmp_path)


def test_gguf_that_was_led_before_is_led_anew(tmp_path: Path) -> None:
    source, old = tmp_path / "source.gguf", tmp_path / "old.gguf"
    plain, matrix = tmp_path / "plain.gguf", tmp_path / "imatrix.gguf"
    convert(write_checkpoint("qwen2_tied", tmp_path), source, file_type="F32")
    write_gguf_importance(matrix, _made_up(source))
    # as F32 files come from llama-quantize: nothing is quantised, but the metadata say so
    shutil.copyfile(matrix, old)
    llama_quantise_led(source, plain, FileType.F32, old)
    llama_quantise_led(plain, tmp_path / "theirs.gguf", FileType.Q4_K_M, matrix)

    importance = read_importance(matrix)
    convert(plain, tmp_path / "ours.gguf", file_type="Q4_K_M", importance=importance)

    assert (tmp_path / "ours.gguf").read_bytes() == (tmp_path / "theirs.gguf").read_bytes()


def test_importance_changes_the_weights(tmp_path: Path) -> None:
    source = write_checkpoint("qwen2_tied", tmp_path)
    convert(source, tmp_path / "plain.gguf", file_type="Q4_0")
    write_gguf_importance(tmp_path / "imatrix.gguf", _made_up(tmp_path / "plain.gguf"))

    importance = read_importance(tmp_path / "imatrix.gguf")
    result = convert(source, tmp_path / "led.gguf", file_type="Q4_0", importance=importance)

    plain, led = (
        {tensor.name: tensor.data for tensor in gguf.GGUFReader(tmp_path / name).tensors}
        for name in ("plain.gguf", "led.gguf")
    )
    changed = {name for name in plain if not np.array_equal(plain[name], led[name])}
    assert changed == {name for name in importance.entries if name in plain}
    (notice,) = result.notices
    assert re.fullmatch(
        r"the importance matrix knows nothing of \d+ of \d+ quantised matrices, such as blk\..*",
        notice,
    )


def test_both_formats_lead_to_the_same_weights(tmp_path: Path) -> None:
    source = write_checkpoint("qwen2_tied", tmp_path)
    convert(source, tmp_path / "plain.gguf", file_type="F32")
    entries = {name: (sums, [4.0]) for name, (sums, _) in _made_up(tmp_path / "plain.gguf").items()}
    write_gguf_importance(tmp_path / "imatrix", entries, datasets=["text"])
    converted = []
    old = legacy_importance(
        {name: (4, sums[0].tolist()) for name, (sums, _) in entries.items()}, dataset="text"
    )
    for content in ((tmp_path / "imatrix").read_bytes(), old):
        (tmp_path / "imatrix").write_bytes(content)
        importance = read_importance(tmp_path / "imatrix")
        convert(
            source, tmp_path / "led.gguf", file_type="Q4_K_M", importance=importance, overwrite=True
        )
        converted.append((tmp_path / "led.gguf").read_bytes())

    assert converted[0] == converted[1]


@pytest.mark.parametrize(
    ("name", "file_type", "error", "message"),
    [
        ("blk.0.attn_k.weight", "Q4_K_M", ImportanceFileError, "blk.0.attn_k.weight has 7 columns"),
        ("blk.77.attn_k.weight", "Q4_K_M", ImportanceFileError, "no tensor of this model is in it"),
        ("blk.0.attn_k.weight", "Q8_0", BadRequestError, "Q8_0 has no use for an importance"),
    ],
)
def test_matrix_that_does_not_fit_is_refused_before_anything_is_written(
    name: str, file_type: str, error: type[QuantError], message: str, tmp_path: Path
) -> None:
    source = write_checkpoint("r1_nano", tmp_path)
    write_gguf_importance(tmp_path / "imatrix.gguf", {name: (np.ones((1, 7), np.float32), [1])})
    importance = read_importance(tmp_path / "imatrix.gguf")

    with pytest.raises(error) as caught:
        convert(source, tmp_path / "out" / "a.gguf", file_type=file_type, importance=importance)

    assert message in caught.value.message
    assert not (tmp_path / "out").exists()


def test_another_matrix_is_another_conversion_even_under_the_same_name(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(write_checkpoint("qwen2_tied", tmp_path))
    fingerprints = set()
    for value in (1, 2):
        entries: dict[str, Entry] = {
            "blk.0.attn_k.weight": (np.full((1, 256), value, np.float32), [1])
        }
        write_gguf_importance(tmp_path / "imatrix.gguf", entries)
        matrix = read_importance(tmp_path / "imatrix.gguf")
        plan = draw(
            checkpoint, FileType.Q4_K_M, tmp_path / "a.gguf", split_bytes=None, importance=matrix
        )
        fingerprints.add(_fingerprint(checkpoint, ON_DISK, plan, matrix))

    assert len(fingerprints) == 2
