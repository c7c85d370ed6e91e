"""Whatever is wrong with a GGUF, converting it ends in a file or in a typed error and nothing."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quant.errors import QuantError
from quant.pipeline import convert
from tests.support.gguf_writer import F32, Q8_0, header, key_value, tensor_row

_HEADER = header(
    [
        key_value("general.architecture", "llama"),
        key_value("general.file_type", 7),
        key_value("llama.block_count", 2),
        key_value("llama.attention.head_count", [4, 2]),
        key_value("llama.expert_count", 2),
        key_value("split.count", 1),
    ],
    [
        tensor_row("blk.0.ffn_down_exps.weight", (32, 4, 2), Q8_0, 0),
        tensor_row("blk.1.attn_v.weight", (32, 2), F32, 288),
        tensor_row("blk.1.attn_norm.weight", (32,), F32, 544),
    ],
)
_FILE = _HEADER + struct.pack("<e32b", 0.5, *range(32)) * 8 + bytes(16) + bytes(384)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mutated")


def test_the_file_as_it_is_can_be_converted(tmp_path: Path) -> None:
    (tmp_path / "source.gguf").write_bytes(_FILE)

    result = convert(tmp_path / "source.gguf", tmp_path / "out.gguf")

    assert result.n_tensors == 3


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(4, len(_FILE) - 1), st.integers(0, 255)), max_size=4))
def test_changed_bytes_give_a_file_or_a_typed_error(
    directory: Path, changes: list[tuple[int, int]]
) -> None:
    data = bytearray(_FILE)
    for place, value in changes:
        data[place] = value
    source, output = directory / "source.gguf", directory / "out.gguf"
    source.write_bytes(data)

    try:
        convert(source, output, n_threads=1)
    except QuantError:
        assert list(directory.iterdir()) == [source]
    else:
        output.unlink()
