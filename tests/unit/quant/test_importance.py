"""Importance matrices: what is read of either format, how it is averaged, what goes out again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quant.errors import ImportanceFileError, SourceNotFoundError
from quant.gguf.header import read_header
from quant.gguf.key_values import KeyValues
from quant.importance.measured import MeasuredTensor
from quant.importance.reader import read_importance
from quant.importance.writer import importance_file
from tests.support.importance_files import legacy_importance, write_gguf_importance

_Q = "blk.0.attn_q.weight"
_EXPERTS = "blk.0.ffn_up_exps.weight"


def _floats(*values: float) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.array(values, dtype=np.float32)


def test_sums_are_divided_by_their_count(tmp_path: Path) -> None:
    path = tmp_path / "imatrix.gguf"
    write_gguf_importance(path, {_Q: (_floats(6, 9, 0, 12).reshape(1, 4), [3])})

    matrix = read_importance(path)
    entry = matrix.of(_Q, (100, 4))

    assert entry is not None
    assert entry.row(0, 4).tolist() == [2, 3, 0, 4]
    assert (matrix.dataset, matrix.n_chunks) == ("calibration.txt", 11)


def test_each_expert_has_its_own_count_and_one_without_tokens_counts_as_ones(
    tmp_path: Path,
) -> None:
    path = tmp_path / "imatrix.gguf"
    sums = _floats(2, 4, 0, 0, 9, 3).reshape(3, 2)
    write_gguf_importance(path, {_EXPERTS: (sums, [2, 0, 3])})

    entry = read_importance(path).of(_EXPERTS, (3, 50, 2))

    assert entry is not None
    assert [entry.row(matrix, 2).tolist() for matrix in range(3)] == [[1, 2], [1, 1], [3, 1]]


def test_one_count_may_stand_for_a_whole_stack(tmp_path: Path) -> None:
    path = tmp_path / "imatrix.gguf"
    write_gguf_importance(path, {_EXPERTS: (_floats(2, 4, 6, 8).reshape(1, 4), [2])})

    entry = read_importance(path).of(_EXPERTS, (2, 50, 2))

    assert entry is not None
    assert [entry.row(matrix, 2).tolist() for matrix in range(2)] == [[1, 2], [3, 4]]


def test_old_format_holds_means_times_calls(tmp_path: Path) -> None:
    path = tmp_path / "imatrix.dat"
    path.write_bytes(legacy_importance({_Q: (4, [8, 2, 0, 4]), _EXPERTS: (0, [5, 6])}))

    matrix = read_importance(path)
    entry, without_calls = matrix.of(_Q, (9, 4)), matrix.of(_EXPERTS, (9, 2))

    assert entry is not None
    assert entry.row(0, 4).tolist() == [2, 0.5, 0, 1]
    assert without_calls is not None
    assert without_calls.row(0, 2).tolist() == [5, 6]
    assert (matrix.dataset, matrix.n_chunks) == ("a.txt", 11)


def test_old_format_may_end_after_its_entries(tmp_path: Path) -> None:
    path = tmp_path / "imatrix.dat"
    whole = legacy_importance({_Q: (1, [8, 2])}, dataset="")
    path.write_bytes(whole[:-8])

    matrix = read_importance(path)

    assert (matrix.dataset, matrix.n_chunks, list(matrix.entries)) == ("", 0, [_Q])


def test_tensor_of_another_size_is_named(tmp_path: Path) -> None:
    path = tmp_path / "imatrix.gguf"
    write_gguf_importance(path, {_Q: (np.ones((1, 4), np.float32), [1])})

    with pytest.raises(
        ImportanceFileError, match=r"blk\.0\.attn_q\.weight has 4 columns there, and 8"
    ):
        read_importance(path).of(_Q, (100, 8))


def test_embedding_of_another_size_is_left_alone_as_llama_cpp_does(tmp_path: Path) -> None:
    path = tmp_path / "imatrix.gguf"
    write_gguf_importance(path, {"token_embd.weight": (np.ones((1, 4), np.float32), [1])})

    assert read_importance(path).of("token_embd.weight", (100, 8)) is None


def test_metadata_is_what_llama_quantize_writes(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 60)
    entries = {_Q: (np.ones((1, 4), np.float32), [1])}
    write_gguf_importance(path, entries, datasets=["é" * 100, "second"])
    key_values = KeyValues()

    matrix = read_importance(path)
    matrix.add_to(key_values)

    assert {key: value.value for key, value in key_values.items.items()} == {
        "quantize.imatrix.file": str(path)[:127],
        "quantize.imatrix.dataset": "é" * 63,  # 127 bytes would cut one in half
        "quantize.imatrix.entries_count": 1,
        "quantize.imatrix.chunks_count": 11,
    }


def test_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match="there is no importance matrix"):
        read_importance(tmp_path / "none.gguf")


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "imatrix.gguf"
    tensors = [MeasuredTensor(_Q, 2, (1024,)), MeasuredTensor(_EXPERTS, 6, (2, 0, 4))]
    file = importance_file(tensors, dataset="text.txt", chunk_size=512)
    first, second = _floats(1024, 2048).tobytes(), _floats(2, 4, 0, 0, 8, 4).tobytes()

    body = file.body([first, second[:8], second[8:]])
    path.write_bytes(b"".join([file.header, *body]))

    matrix = read_importance(path)
    assert path.stat().st_size == file.n_bytes
    assert (matrix.dataset, matrix.n_chunks) == ("text.txt", 2)
    assert matrix.entries[_Q].row(0, 2).tolist() == [1, 2]
    assert matrix.entries[_EXPERTS].row(2, 2).tolist() == [2, 1]
    assert [tensor.dims for tensor in read_header(path).tensors] == [(2,), (1,), (2, 3), (1, 3)]
