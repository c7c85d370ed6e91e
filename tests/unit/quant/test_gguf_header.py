from __future__ import annotations

from pathlib import Path

import pytest

from quant.errors import GgufFileError, SourceNotFoundError
from quant.gguf.contents import LazyArray
from quant.gguf.header import read_header
from tests.support.gguf_writer import F16, F32, Q8_0, Value, write_model

_WORDS = [f"word{i}" for i in range(3000)]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    values: dict[str, Value] = {
        "general.architecture": "llama",
        "general.name": "naïve",
        "llama.block_count": 2,
        "llama.rope.freq_base": 10000.0,
        "llama.attention.causal": True,
        "llama.attention.head_count_kv": [2, 1],
        "tokenizer.ggml.tokens": _WORDS,
        "tokenizer.ggml.scores": [float(i) for i in range(3000)],
    }
    tensors = {
        "token_embd.weight": ((64, 3000), Q8_0),
        "output_norm.weight": ((50,), F32),
        "blk.0.attn_q.weight": ((64, 32, 2), F16),
    }
    return write_model(tmp_path / "model.gguf", values, tensors)


def test_reads_every_kind_of_value(model: Path) -> None:
    header = read_header(model)

    assert header.kv["general.name"] == "naïve"
    assert header.kv["llama.block_count"] == 2
    assert header.kv["llama.rope.freq_base"] == 10000.0
    assert header.kv["llama.attention.causal"] is True
    assert header.kv["llama.attention.head_count_kv"] == (2, 1)


def test_tensor_table_gives_shapes_and_bytes(model: Path) -> None:
    header = read_header(model)

    rows = [(t.name, t.type_name, t.dims, t.offset, t.n_bytes) for t in header.tensors]
    assert rows == [
        ("token_embd.weight", "Q8_0", (64, 3000), 0, 204_000),
        ("output_norm.weight", "F32", (50,), 204_000, 200),
        ("blk.0.attn_q.weight", "F16", (64, 32, 2), 204_224, 8192),
    ]
    assert header.data_offset % header.alignment == 0
    assert header.data_offset + 204_224 + 8192 == header.file_bytes


def test_long_arrays_are_read_only_on_demand(model: Path) -> None:
    header = read_header(model)

    tokens = header.kv["tokenizer.ggml.tokens"]
    assert isinstance(tokens, LazyArray)
    assert len(tokens) == 3000
    assert header.read_array("tokenizer.ggml.tokens") == tuple(_WORDS)
    assert header.read_array("tokenizer.ggml.scores")[-1] == 2999.0
    assert header.read_array("llama.attention.head_count_kv") == (2, 1)


def test_reading_a_scalar_as_an_array_is_refused(model: Path) -> None:
    with pytest.raises(GgufFileError, match="not an array"):
        read_header(model).read_array("llama.block_count")


def test_an_array_of_a_file_that_changed_is_refused(model: Path) -> None:
    header = read_header(model)
    with model.open("ab") as file:
        file.write(b"more")

    with pytest.raises(GgufFileError, match="changed"):
        header.read_array("tokenizer.ggml.tokens")


def test_a_file_cut_off_in_its_data_says_how_much_is_missing(model: Path) -> None:
    whole_bytes = model.stat().st_size
    with model.open("r+b") as file:
        file.truncate(whole_bytes - 8000)

    with pytest.raises(GgufFileError, match=f"8000 of its {whole_bytes} bytes are missing"):
        read_header(model)
    assert read_header(model, allow_truncated=True).missing_bytes == 8000


def test_a_file_cut_off_in_its_header_is_refused_either_way(model: Path) -> None:
    with model.open("r+b") as file:
        file.truncate(1000)

    with pytest.raises(GgufFileError, match="header is cut off"):
        read_header(model, allow_truncated=True)


def test_trailing_bytes_do_no_harm(model: Path) -> None:
    with model.open("ab") as file:
        file.write(b"\0" * 100)

    assert read_header(model).missing_bytes == 0


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match="no model file"):
        read_header(tmp_path / "nothing.gguf")


@pytest.mark.parametrize("content", [b"", b"GGUF", b"PK\x03\x04" + bytes(100)])
def test_a_file_that_is_no_gguf_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.gguf"
    path.write_bytes(content)

    with pytest.raises(GgufFileError, match="GGUF"):
        read_header(path)


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GgufFileError, match="a directory"):
        read_header(tmp_path)
