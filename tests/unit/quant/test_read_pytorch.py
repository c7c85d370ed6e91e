from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from quant.dtypes import to_float32
from quant.pipeline import convert
from quant.source.pytorch import read_pytorch_table
from quant.source.safetensors import MappedShards
from tests.support.checkpoint_files import StoredArray, read_safetensors
from tests.support.checkpoint_zoo import write_checkpoint, write_json
from tests.support.pytorch_files import widened, write_pytorch

_TINY = Path(__file__).parents[2] / "golden" / "quant" / "tiny.bin"
_VALUES = np.arange(12, dtype=np.float32).reshape(3, 4) / 8


def _as_pytorch(source: Path, n_shards: int = 1) -> Path:
    arrays = read_safetensors(source / "model.safetensors")
    (source / "model.safetensors").unlink()
    if n_shards == 1:
        write_pytorch(source / "pytorch_model.bin", arrays)
        return source
    weight_map: dict[str, str] = {}
    for shard in range(n_shards):
        file_name = f"pytorch_model-{shard + 1:05d}-of-{n_shards:05d}.bin"
        part = dict(list(arrays.items())[shard::n_shards])
        write_pytorch(source / file_name, part)
        weight_map |= dict.fromkeys(part, file_name)
    write_json(source / "pytorch_model.bin.index.json", {"weight_map": weight_map})
    return source


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("weight", _VALUES),
        ("half", _VALUES),
        ("brain", _VALUES),
        ("tied", _VALUES),
        ("parameter", _VALUES[:1] + 1),
        ("view", _VALUES[1:]),
    ],
)
def test_a_file_of_torch_itself_is_read_where_it_lies(
    name: str, expected: np.ndarray[tuple[int, int], np.dtype[np.float32]]
) -> None:
    tensor = read_pytorch_table(_TINY)[name]

    values = to_float32(MappedShards([tensor]).matrix(tensor), tensor.dtype)

    assert tensor.shape == expected.shape
    assert np.array_equal(values, expected)


def test_an_integer_buffer_is_described_too() -> None:
    ids = read_pytorch_table(_TINY)["ids"]

    assert (ids.dtype, ids.shape, ids.n_bytes) == ("I64", (5,), 40)


@pytest.mark.parametrize("file_type", ["BF16", "Q4_K_M"])
@pytest.mark.parametrize("kind", ["r1_nano", "qwen2_tied", "odd_rows"])
def test_the_same_weights_give_the_same_file_in_either_format(
    kind: str, file_type: str, tmp_path: Path
) -> None:
    source = write_checkpoint(kind, tmp_path)
    convert(source, tmp_path / "safetensors.gguf", file_type=file_type)

    convert(_as_pytorch(source), tmp_path / "pytorch.gguf", file_type=file_type)

    expected = (tmp_path / "safetensors.gguf").read_bytes()
    assert (tmp_path / "pytorch.gguf").read_bytes() == expected


@pytest.mark.parametrize("has_index", [True, False])
def test_pytorch_shards_give_the_same_file_as_one(has_index: bool, tmp_path: Path) -> None:
    source = write_checkpoint("odd_rows", tmp_path)
    convert(source, tmp_path / "one.gguf", file_type="Q4_0")
    _as_pytorch(source, n_shards=3)
    if not has_index:
        (source / "pytorch_model.bin.index.json").unlink()

    convert(source, tmp_path / "shards.gguf", file_type="Q4_0")

    assert (tmp_path / "shards.gguf").read_bytes() == (tmp_path / "one.gguf").read_bytes()


def test_tied_weights_share_a_storage(tmp_path: Path) -> None:
    data = np.arange(6, dtype="<f4").tobytes()
    write_pytorch(
        tmp_path / "m.bin",
        {"a": StoredArray("F32", (2, 3), data), "b": StoredArray("F32", (6,), data)},
    )

    table = read_pytorch_table(tmp_path / "m.bin")

    assert table["a"].offset == table["b"].offset


def test_64_bit_records_mean_the_same(tmp_path: Path) -> None:
    path = tmp_path / "m.bin"
    write_pytorch(path, {"a": StoredArray("F32", (2, 3), bytes(range(24)))})
    expected = read_pytorch_table(path)

    widened(path)

    assert zipfile.ZipFile(path).testzip() is None
    assert read_pytorch_table(path) == expected


def test_safetensors_go_before_pytorch_where_a_directory_has_both(tmp_path: Path) -> None:
    source = write_checkpoint("odd_rows", tmp_path)
    (source / "pytorch_model.bin").write_bytes(b"not looked at")

    convert(source, tmp_path / "model.gguf", file_type="Q8_0")

    assert (tmp_path / "model.gguf").is_file()
