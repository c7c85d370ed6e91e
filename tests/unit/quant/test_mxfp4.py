"""Blocks of 4-bit codes keep every bit, and mean what gguf-py says that they mean."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quant.blueprint import dry_run
from quant.dtypes import is_finite, to_float32
from quant.errors import CheckpointDamagedError, UnsupportedError
from quant.pipeline import convert
from quant.rows import picked_rows, stored_rows
from quant.source.mxfp4 import fold_blocks
from quant.source.safetensors import MappedShards, StoredTensor, read_tensor_table
from tests.support.checkpoint_families import write_family
from tests.support.checkpoint_files import StoredArray, read_safetensors, write_safetensors
from tests.support.checkpoint_refusals import refusal
from tests.support.checkpoint_zoo import change_json

_CONFIG = {"quantization_config": {"quant_method": "mxfp4"}}
_DOWN = "model.layers.2.mlp.experts.down_proj"


def _bytes(seed: int, *shape: int, top: int = 256) -> np.ndarray[Any, np.dtype[np.uint8]]:
    raw = np.random.PCG64(seed).random_raw(int(np.prod(shape))) >> np.uint64(40)
    return (raw % top).astype(np.uint8).reshape(shape)


def _stored(path: Path) -> StoredTensor:
    arrays = {
        "e_blocks": StoredArray("U8", (2, 6, 3, 16), _bytes(1, 2, 6, 3, 16).tobytes()),
        "e_scales": StoredArray("U8", (2, 6, 3), _bytes(2, 2, 6, 3, top=250).tobytes()),
        "other": StoredArray("U8", (1, 1), b"1"),
    }
    write_safetensors(path, arrays)
    tensors = fold_blocks(read_tensor_table(path), _CONFIG)
    assert list(tensors) == ["e_blocks", "other"]
    return tensors["e_blocks"]


def _meant() -> np.ndarray[Any, np.dtype[np.float32]]:
    """Number by number from the definition: OCP microscaling, E2M1 codes and E8M0 scales."""
    values = [0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6]
    blocks, scales = _bytes(1, 12, 3, 16), _bytes(2, 12, 3, top=250)
    numbers = [
        np.float32(values[byte >> shift & 15]) * np.float32(2.0 ** (int(scale) - 127))
        for block, scale in zip(blocks.reshape(-1, 16), scales.ravel(), strict=True)
        for byte in block.tolist()
        for shift in (0, 4)
    ]
    return np.array(numbers, dtype=np.float32).reshape(12, 96)


def test_weights_mean_what_the_definition_says(tmp_path: Path) -> None:
    source = stored_rows(_stored(tmp_path / "m.safetensors"))
    shards = MappedShards(source.stored)

    assert (source.dtype, source.n_rows, source.n_cols) == ("MXFP4", 12, 96)
    assert np.array_equal(to_float32(source.rows(shards, 0, 12), "MXFP4"), _meant())
    assert np.array_equal(to_float32(source.rows(shards, 5, 8), "MXFP4"), _meant()[5:8])


def test_the_bytes_mean_the_same_to_gguf_py(tmp_path: Path) -> None:
    import gguf

    source = stored_rows(_stored(tmp_path / "m.safetensors"))
    packed = source.rows(MappedShards(source.stored), 0, 12)

    theirs = gguf.quants.dequantize(packed, gguf.GGMLQuantizationType.MXFP4)

    assert np.array_equal(theirs, _meant())


def test_rows_that_take_turns_are_told_apart(tmp_path: Path) -> None:
    source = picked_rows(_stored(tmp_path / "m.safetensors"), 2, [1])

    rows = source.rows(MappedShards(source.stored), 1, 4)

    assert np.array_equal(to_float32(rows, "MXFP4"), _meant()[3:8:2])


def test_a_scale_of_all_ones_is_no_number() -> None:
    block = np.zeros((1, 34), dtype=np.uint8)
    assert is_finite(block, "MXFP4")

    block[0, 17] = 0xFF

    assert not is_finite(block, "MXFP4")


@pytest.mark.parametrize("file_type", ["F32", "BF16", "Q4_K_M", "IQ4_XS"])
def test_a_dry_run_without_weights_gives_the_size_of_the_file(
    file_type: str, tmp_path: Path
) -> None:
    source = write_family("gpt_oss", tmp_path)
    result = convert(source, tmp_path / "m.gguf", file_type=file_type)
    (source / "model.safetensors").unlink()

    plan = dry_run(source, tmp_path / "n.gguf", file_type=file_type)

    assert plan.n_bytes == result.bytes_written == (tmp_path / "m.gguf").stat().st_size
    assert plan.tensor_types == result.tensor_types
    assert plan.tensor_types["MXFP4"] == 12


def _changed(parent: Path, change: Callable[[dict[str, StoredArray]], object]) -> Path:
    source = write_family("gpt_oss", parent)
    arrays = read_safetensors(source / "model.safetensors")
    change(arrays)
    write_safetensors(source / "model.safetensors", arrays)
    return source


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda arrays: arrays.pop(f"{_DOWN}_scales"), f"{_DOWN}_blocks' is "),
        (lambda arrays: arrays.pop(f"{_DOWN}_blocks"), f"{_DOWN}_scales' scales nothing"),
        (
            lambda arrays: arrays.update({f"{_DOWN}_scales": StoredArray("U8", (2,), b"12")}),
            f"{_DOWN}_blocks' is [6, 256, 9, 16], its scales are [2]",
        ),
        (
            lambda arrays: arrays.update({f"{_DOWN}_scales": StoredArray("F16", (2,), b"1234")}),
            f"{_DOWN}_blocks' is U8 with scales in F16",
        ),
        (
            lambda arrays: arrays.update(
                {f"{_DOWN}_scales": StoredArray("U8", (6, 256, 9), b"\xff" * 6 * 256 * 9)}
            ),
            "blk.2.ffn_down_exps.weight: it holds NaN or infinity",
        ),
    ],
)
def test_blocks_and_scales_that_do_not_fit_are_an_error_that_names_the_tensor(
    change: Callable[[dict[str, StoredArray]], object], words: str, tmp_path: Path
) -> None:
    error = refusal(_changed(tmp_path, change), tmp_path)

    assert isinstance(error, CheckpointDamagedError | UnsupportedError)
    assert words in error.message


def test_blocks_that_the_config_does_not_announce_are_refused(tmp_path: Path) -> None:
    source = write_family("gpt_oss", tmp_path)
    change_json(source / "config.json", quantization_config=None)

    assert "_blocks" in refusal(source, tmp_path).message
