from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quant.dtypes import Float32Array
from quant.errors import CheckpointDamagedError, QuantError, UnsupportedError
from quant.pipeline import ConvertProgress, convert
from quant.source.fp8 import decode_e4m3, decode_rows, fold_scales
from quant.source.safetensors import MappedShards, StoredTensor, read_tensor_table
from tests.support.checkpoint_files import (
    StoredArray,
    read_safetensors,
    seeded_array,
    seeded_codes,
    write_safetensors,
)
from tests.support.checkpoint_refusals import refusal
from tests.support.checkpoint_zoo import change_json, write_checkpoint

_NAME = "w.weight"


def _config(block: Any) -> dict[str, Any]:
    return {"quantization_config": {"quant_method": "fp8", "weight_block_size": block}}


def _folded(path: Path, codes: StoredArray, scales: StoredArray, block: Any) -> StoredTensor:
    write_safetensors(path, {_NAME: codes, f"{_NAME}_scale_inv": scales})
    tensors = fold_scales(read_tensor_table(path), _config(block))
    assert list(tensors) == [_NAME]
    return tensors[_NAME]


def _value(code: int) -> float:
    """From the definition, number by number: OCP 8-bit floating point, E4M3."""
    sign, exponent, mantissa = -1 if code >> 7 else 1, code >> 3 & 15, code & 7
    if exponent == 0:
        return sign * mantissa * 2.0**-9
    return sign * (8 + mantissa) * 2.0 ** (exponent - 10)


def test_every_code_but_nan_has_the_value_of_its_definition() -> None:
    values = decode_e4m3(np.arange(256, dtype=np.uint8))

    assert [float(value) for code, value in enumerate(values) if code & 127 != 127] == [
        _value(code) for code in range(256) if code & 127 != 127
    ]
    assert np.isnan(values[[127, 255]]).all()
    assert values[0x7E] == 448  # the largest


@pytest.mark.parametrize(
    "shape", [(128, 128), (1, 1), (129, 257), (300, 40), (40, 300), (256, 384)]
)
def test_each_weight_is_its_code_times_the_scale_of_its_block(
    shape: tuple[int, int], tmp_path: Path
) -> None:
    codes = seeded_codes(1, shape)
    scales = seeded_array(2, "F32", (-(-shape[0] // 128), -(-shape[1] // 128)))
    tensor = _folded(tmp_path / "m.safetensors", codes, scales, [128, 128])

    values = decode_rows(tensor, MappedShards([tensor]), slice(None))

    factors = np.frombuffer(scales.data, np.float32).reshape(scales.shape)
    raw = np.frombuffer(codes.data, np.uint8).reshape(shape)
    for row, col in {(0, 0), (shape[0] - 1, shape[1] - 1), (shape[0] // 2, shape[1] // 3)}:
        expected = np.float32(_value(int(raw[row, col]))) * factors[row // 128, col // 128]
        assert values[row, col] == expected
    assert values.shape == shape
    assert values.dtype == np.float32


def _scales(shape: tuple[int, ...]) -> StoredArray:
    return seeded_array(3, "F32", shape)


@pytest.mark.parametrize(
    ("block", "shape"), [(None, ()), (None, (1,)), (None, (6,)), (None, (6, 1)), ([4, 2], (2, 2))]
)
def test_scales_may_be_one_or_one_a_row_or_of_other_blocks(
    block: list[int] | None, shape: tuple[int, ...], tmp_path: Path
) -> None:
    tensor = _folded(tmp_path / "m.safetensors", seeded_codes(1, (6, 4)), _scales(shape), block)

    values = decode_rows(tensor, MappedShards([tensor]), slice(None))

    factors = np.frombuffer(_scales(shape).data, np.float32)
    raw = np.frombuffer(seeded_codes(1, (6, 4)).data, np.uint8).reshape(6, 4)
    assert values[5, 3] == np.float32(_value(int(raw[5, 3]))) * factors[-1]


def test_rows_can_be_taken_in_any_order(tmp_path: Path) -> None:
    tensor = _folded(
        tmp_path / "m.safetensors", seeded_codes(1, (300, 200)), _scales((3, 2)), [128, 128]
    )
    shards = MappedShards([tensor])
    order = np.arange(300)[::-7]

    values = decode_rows(tensor, shards, order)

    assert np.array_equal(values, decode_rows(tensor, shards, slice(None))[order])


@pytest.mark.parametrize(
    ("codes", "scales", "block", "words"),
    [
        (seeded_codes(1, (6, 4)), _scales((1, 2)), [4, 2], r"needs \[2, 2\] scales"),
        (seeded_codes(1, (6, 4)), _scales((2, 2)), [4, 0], "weight_block_size"),
        (seeded_codes(1, (6, 4)), _scales((2, 2)), "4x2", "weight_block_size"),
        (seeded_codes(1, (6, 4)), _scales((2, 2)), [4, 2, 1], "weight_block_size"),
        (_scales((6, 4)), _scales((2, 2)), [4, 2], "no F8_E4M3 matrix"),
        (seeded_codes(1, (6, 4)), seeded_codes(1, (2, 2)), [4, 2], "scales in F8_E4M3"),
    ],
)
def test_scales_that_do_not_fit_are_an_error_that_names_the_tensor(
    codes: StoredArray, scales: StoredArray, block: Any, words: str, tmp_path: Path
) -> None:
    with pytest.raises(QuantError, match=words):
        _folded(tmp_path / "m.safetensors", codes, scales, block)


def _changed(source: Path, name: str, array: StoredArray | None) -> None:
    for path in source.glob("model-*.safetensors"):
        arrays = read_safetensors(path)
        if name in arrays:
            del arrays[name]
            if array is not None:
                arrays[name] = array
            write_safetensors(path, arrays)
    (source / "model.safetensors.index.json").unlink()


_DOWN = "model.layers.1.mlp.down_proj.weight"


def test_codes_without_scales_are_refused(tmp_path: Path) -> None:
    source = write_checkpoint("fp8", tmp_path)
    _changed(source, f"{_DOWN}_scale_inv", None)

    error = refusal(source, tmp_path)

    assert isinstance(error, UnsupportedError)
    assert f"{_DOWN!r} is F8_E4M3" in error.message


def test_scales_without_codes_are_refused(tmp_path: Path) -> None:
    source = write_checkpoint("fp8", tmp_path)
    _changed(source, _DOWN, None)

    error = refusal(source, tmp_path)

    assert isinstance(error, CheckpointDamagedError)
    assert f"{_DOWN}_scale_inv' scales nothing" in error.message


def test_a_code_that_is_no_number_is_an_error_that_names_the_tensor(tmp_path: Path) -> None:
    source = write_checkpoint("fp8", tmp_path)
    _changed(source, _DOWN, StoredArray("F8_E4M3", (192, 320), b"\x7f" * (192 * 320)))

    assert (
        refusal(source, tmp_path).message
        == "tensor blk.1.ffn_down.weight: it holds NaN or infinity"
    )


def test_codes_that_the_config_does_not_announce_are_refused(tmp_path: Path) -> None:
    source = write_checkpoint("fp8", tmp_path)
    change_json(source / "config.json", quantization_config=None)

    assert isinstance(refusal(source, tmp_path), UnsupportedError)


def test_the_progress_counts_the_bytes_of_the_codes(tmp_path: Path) -> None:
    source = write_checkpoint("fp8", tmp_path)
    seen: list[ConvertProgress] = []

    result = convert(source, tmp_path / "m.gguf", file_type="Q8_0", on_progress=seen.append)

    n_codes = sum(
        len(array.data)
        for path in source.glob("model-*.safetensors")
        for name, array in read_safetensors(path).items()
        if not name.endswith("_scale_inv")
    )
    assert result.bytes_read == seen[-1].bytes_done == seen[-1].bytes_total == n_codes


def _gguf_matrix(path: Path, name: str) -> Float32Array:
    import gguf

    (tensor,) = (tensor for tensor in gguf.GGUFReader(path).tensors if tensor.name == name)
    values: Float32Array = np.array(tensor.data, dtype=np.float32)
    return values


def test_an_fp8_checkpoint_goes_to_f32_and_back_exactly(tmp_path: Path) -> None:
    source = write_checkpoint("fp8", tmp_path)
    stored: dict[str, StoredArray] = {}
    for path in source.glob("model-*.safetensors"):
        stored |= read_safetensors(path)

    convert(source, tmp_path / "m.gguf", file_type="F32")

    values = _gguf_matrix(tmp_path / "m.gguf", "blk.1.ffn_down.weight")
    scales = np.frombuffer(stored[f"{_DOWN}_scale_inv"].data, np.float32).reshape(2, 3)
    codes = np.frombuffer(stored[_DOWN].data, np.uint8).reshape(192, 320)
    expected = [
        [
            np.float32(_value(int(codes[row, col]))) * scales[row // 128, col // 128]
            for col in range(320)
        ]
        for row in range(192)
    ]
    assert np.array_equal(values, np.array(expected, np.float32))
