"""Lying safetensors headers and indexes: each gets a typed one-line error and leaves nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quant.errors import CheckpointDamagedError, UnsupportedError
from quant.source import safetensors as reader
from tests.support.checkpoint_files import write_raw_safetensors
from tests.support.checkpoint_refusals import refusal
from tests.support.checkpoint_zoo import write_checkpoint, write_json

_NORM = "model.norm.weight"
Header = dict[str, Any]


def _rewrite_header(directory: Path, change: Callable[[Header], object]) -> None:
    path = directory / "model.safetensors"
    content = path.read_bytes()
    data_start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:data_start])
    change(header)
    write_raw_safetensors(path, json.dumps(header), content[data_start:])


def _set(key: str, value: Any) -> Callable[[Header], object]:
    return lambda header: header[_NORM].update({key: value})


def _shifted_into_neighbour(header: Header) -> None:
    start, end = header[_NORM]["data_offsets"]
    header[_NORM]["data_offsets"] = [start - 2, end - 2]


def _out_of_the_file(header: Header) -> None:
    header[_NORM]["data_offsets"] = [2**40, 2**40 + 512]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(_shifted_into_neighbour, "overlap", id="overlap"),
        pytest.param(_out_of_the_file, "lies at", id="beyond-the-end"),
        pytest.param(_set("data_offsets", [512, 0]), "lies at", id="backwards"),
        pytest.param(_set("data_offsets", [-512, 0]), "impossible offsets", id="negative"),
        pytest.param(_set("data_offsets", [0, 1, 2]), "impossible offsets", id="three-offsets"),
        pytest.param(_set("data_offsets", "0-512"), "impossible offsets", id="offsets-as-text"),
        pytest.param(_set("shape", [255]), "does not fill", id="shape-too-small"),
        pytest.param(_set("shape", [2**32, 2**32]), "does not fill", id="shape-wraps-64-bits"),
        pytest.param(_set("shape", [1] * 9), "impossible shape", id="nine-dimensions"),
        pytest.param(_set("shape", [True]), "impossible shape", id="boolean-dimension"),
        pytest.param(_set("shape", [256.0]), "impossible shape", id="float-dimension"),
        pytest.param(_set("shape", None), "impossible shape", id="no-shape"),
        pytest.param(lambda header: header.update({_NORM: 7}), "no description", id="no-object"),
    ],
)
def test_a_lie_about_a_tensor_is_an_error_that_names_it(
    change: Callable[[Header], object], words: str, tmp_path: Path
) -> None:
    source = write_checkpoint("odd_rows", tmp_path)
    _rewrite_header(source, change)

    error = refusal(source, tmp_path)

    assert isinstance(error, CheckpointDamagedError)
    assert words in error.message
    assert _NORM in error.message


@pytest.mark.parametrize(
    ("dtype", "words"),
    [("Q9", "unknown dtype 'Q9'"), (["F16"], "unknown dtype"), ("I16", "is I16; known are")],
)
def test_a_dtype_we_cannot_convert_is_unsupported(dtype: Any, words: str, tmp_path: Path) -> None:
    source = write_checkpoint("odd_rows", tmp_path)
    _rewrite_header(source, _set("dtype", dtype))

    error = refusal(source, tmp_path)

    assert isinstance(error, UnsupportedError)
    assert words in error.message
    assert _NORM in error.message


@pytest.mark.parametrize("name", ["../outside", "esc\x1b[2J", "a" * 257, "", "new\nline"])
def test_a_tensor_name_that_is_no_name_is_refused(name: str, tmp_path: Path) -> None:
    source = write_checkpoint("odd_rows", tmp_path)
    _rewrite_header(source, lambda header: header.update({name: header.pop(_NORM)}))

    assert "not allowed" in refusal(source, tmp_path).message


@pytest.mark.parametrize("header_bytes", [0, 1, 2**20, 2**63, 2**64 - 1])
def test_a_false_header_length_is_refused_before_it_is_read(
    header_bytes: int, tmp_path: Path
) -> None:
    source = write_checkpoint("odd_rows", tmp_path)
    write_raw_safetensors(source / "model.safetensors", "{}", b"\0" * 64, header_bytes=header_bytes)

    assert "header length" in refusal(source, tmp_path).message


@pytest.mark.parametrize("n_bytes", [0, 7, 8, 100, 50_000])
def test_a_truncated_shard_is_refused(n_bytes: int, tmp_path: Path) -> None:
    source = write_checkpoint("odd_rows", tmp_path)
    path = source / "model.safetensors"
    path.write_bytes(path.read_bytes()[:n_bytes])

    error = refusal(source, tmp_path)

    assert isinstance(error, CheckpointDamagedError)
    assert "model.safetensors" in error.message


@pytest.mark.parametrize(
    "header",
    [
        pytest.param('{"a": 1, "a": 2}', id="duplicate"),
        pytest.param("[" * 100_000, id="deep"),
        pytest.param("[]", id="list"),
        pytest.param('{"a": ' + "9" * 5000 + "}", id="long-number"),
        pytest.param("{nothing", id="broken"),
    ],
)
def test_a_header_that_is_no_plain_json_object_is_refused(header: str, tmp_path: Path) -> None:
    source = write_checkpoint("odd_rows", tmp_path)
    write_raw_safetensors(source / "model.safetensors", header, b"")

    assert isinstance(refusal(source, tmp_path), CheckpointDamagedError)


def test_more_tensors_than_the_limit_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "MAX_TENSORS", 1000)  # the real one takes seconds to write
    source = write_checkpoint("odd_rows", tmp_path)
    entry = {"dtype": "F16", "shape": [0], "data_offsets": [0, 0]}
    header = json.dumps({f"t{number}": entry for number in range(reader.MAX_TENSORS + 1)})
    write_raw_safetensors(source / "model.safetensors", header, b"")

    assert "1,001 tensors, over 1,000" in refusal(source, tmp_path).message


def test_a_header_above_the_limit_is_refused_unread(tmp_path: Path) -> None:
    source = write_checkpoint("odd_rows", tmp_path)
    path = source / "model.safetensors"
    with path.open("wb") as file:
        file.write((reader.MAX_HEADER_BYTES + 1).to_bytes(8, "little"))
        file.truncate(reader.MAX_HEADER_BYTES + 100)  # sparse

    assert "header length" in refusal(source, tmp_path).message


@pytest.mark.parametrize(
    "shard",
    ["../x.safetensors", "/etc/passwd", "a/b.safetensors", "..", "", ".hidden", "a\0b", 7, None],
)
def test_an_index_that_points_outside_its_directory_is_refused(shard: Any, tmp_path: Path) -> None:
    source = write_checkpoint("r1_nano_sharded", tmp_path)
    path = source / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    index["weight_map"][_NORM] = shard
    write_json(path, index)

    error = refusal(source, tmp_path)

    assert isinstance(error, CheckpointDamagedError)
    assert _NORM in error.message


def test_an_index_that_names_the_wrong_shard_is_refused(tmp_path: Path) -> None:
    source = write_checkpoint("r1_nano_sharded", tmp_path)
    path = source / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    others = {"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"}
    index["weight_map"][_NORM] = (others - {index["weight_map"][_NORM]}).pop()
    write_json(path, index)

    assert f"lacks tensor {_NORM!r}" in refusal(source, tmp_path).message


def test_a_tensor_the_index_does_not_know_is_refused(tmp_path: Path) -> None:
    source = write_checkpoint("r1_nano_sharded", tmp_path)
    path = source / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    del index["weight_map"][_NORM]
    write_json(path, index)

    assert f"holds tensor {_NORM!r}" in refusal(source, tmp_path).message


@pytest.mark.parametrize("has_index", [True, False])
def test_a_missing_shard_is_named(has_index: bool, tmp_path: Path) -> None:
    source = write_checkpoint("r1_nano_sharded", tmp_path)
    (source / "model-00002-of-00002.safetensors").unlink()
    if not has_index:
        (source / "model.safetensors.index.json").unlink()

    assert "lacks the shard model-00002-of-00002" in refusal(source, tmp_path).message


def test_a_tensor_in_two_shards_is_refused(tmp_path: Path) -> None:
    source = write_checkpoint("r1_nano_sharded", tmp_path)
    (source / "model.safetensors.index.json").unlink()
    first = source / "model-00001-of-00002.safetensors"
    (source / "model-00002-of-00002.safetensors").write_bytes(first.read_bytes())

    assert "is in model-00001-of-00002" in refusal(source, tmp_path).message
