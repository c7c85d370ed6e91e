from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from quant import slabs
from quant.dtypes import Float32Array
from quant.families.tensor_map import MappedTensor
from quant.gguf.types import TensorType
from quant.recipe import TypedTensor
from quant.rows import (
    RowSource,
    made_vector,
    picked_rows,
    shifted_rows,
    stacked_rows,
    stored_rows,
    transposed_rows,
)
from quant.slabs import encoded_slabs
from quant.source.safetensors import MappedShards, StoredTensor, read_tensor_table
from tests.support.checkpoint_files import StoredArray, as_stored, write_safetensors


def _matrix(first: int, n_rows: int, n_cols: int) -> Float32Array:
    return np.arange(first, first + n_rows * n_cols, dtype=np.float32).reshape(n_rows, n_cols)


def _vector(*values: float) -> Float32Array:
    return np.array(values, dtype=np.float32)


def _stored(path: Path, *arrays: StoredArray) -> list[StoredTensor]:
    write_safetensors(path, {f"t{number}": array for number, array in enumerate(arrays)})
    return list(read_tensor_table(path).values())


def _all_ways(source: RowSource) -> list[Float32Array]:
    """The rows at once, and one by one."""
    shards = MappedShards(source.stored)
    whole = source.rows(shards, 0, source.n_rows)
    single = [source.rows(shards, row, row + 1) for row in range(source.n_rows)]
    return [np.array(whole), np.concatenate(single)]


def test_a_stack_hands_out_runs_across_its_parts(tmp_path: Path) -> None:
    matrices = [_matrix(100 * number, n_rows, 4) for number, n_rows in enumerate((3, 1, 5))]
    tensors = _stored(tmp_path / "m.safetensors", *(as_stored(m, "F32") for m in matrices))
    source = stacked_rows([stored_rows(tensor) for tensor in tensors])
    shards = MappedShards(source.stored)
    expected = np.concatenate(matrices)

    assert (source.n_rows, source.n_cols, source.n_source_bytes) == (9, 4, 9 * 4 * 4)
    for start, stop in itertools.combinations(range(10), 2):
        assert np.array_equal(source.rows(shards, start, stop), expected[start:stop])


def test_matrices_of_a_stack_are_turned_one_by_one(tmp_path: Path) -> None:
    matrix = _matrix(0, 12, 4)
    (tensor,) = _stored(tmp_path / "m.safetensors", as_stored(matrix, "F32"))
    source = transposed_rows(stored_rows(tensor), 3)
    shards = MappedShards(source.stored)
    expected = np.concatenate([matrix[first : first + 3].T for first in (0, 3, 6, 9)])

    assert (source.n_rows, source.n_cols, source.n_source_bytes) == (16, 3, 12 * 4 * 4)
    for start, stop in itertools.combinations(range(17), 2):
        assert np.array_equal(source.rows(shards, start, stop), expected[start:stop])


def test_parts_in_different_formats_become_float32(tmp_path: Path) -> None:
    matrix = _matrix(0, 2, 8)
    tensors = _stored(
        tmp_path / "m.safetensors", *(as_stored(matrix, dtype) for dtype in ("BF16", "F16"))
    )
    source = stacked_rows([stored_rows(tensor) for tensor in tensors])

    assert source.dtype == "F32"
    for values in _all_ways(source):
        assert values.dtype == np.float32
        assert np.array_equal(values, np.concatenate([matrix, matrix]))


@pytest.mark.parametrize(
    ("period", "order"), [(6, [0, 3, 1, 4, 2, 5]), (4, range(0, 4, 2)), (6, range(4, 6)), (3, [1])]
)
def test_rows_are_picked_in_the_same_order_from_every_group(
    period: int, order: list[int] | range, tmp_path: Path
) -> None:
    matrix = _matrix(0, 12, 2)
    (tensor,) = _stored(tmp_path / "m.safetensors", as_stored(matrix.reshape(2, 6, 2), "F32"))
    source = picked_rows(tensor, period, order)

    expected = matrix.reshape(-1, period, 2)[:, list(order)].reshape(-1, 2)

    assert (source.n_rows, source.n_cols) == expected.shape
    assert source.n_source_bytes == expected.nbytes
    for values in _all_ways(source):
        assert np.array_equal(values, expected)


def test_a_shifted_vector_is_computed_in_float32(tmp_path: Path) -> None:
    (tensor,) = _stored(tmp_path / "m.safetensors", as_stored(_vector(0.5, -1, 3), "BF16"))

    for values in _all_ways(shifted_rows(stored_rows(tensor), 1.0)):
        assert values.tolist() == [[1.5], [0.0], [4.0]]


def test_a_made_vector_is_one_value_per_row() -> None:
    for values in _all_ways(made_vector(_vector(1, 2))):
        assert values.tolist() == [[1.0], [2.0]]


def test_no_slab_crosses_the_border_of_a_matrix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slabs, "_SLAB_WEIGHTS", 3 * 32)  # three rows
    experts = [_matrix(1000 * number, 4, 32) for number in range(3)]
    tensors = _stored(tmp_path / "m.safetensors", *(as_stored(m, "F32") for m in experts))
    source = stacked_rows([stored_rows(tensor) for tensor in tensors])
    typed = TypedTensor(MappedTensor("e.weight", (3, 4, 32), source), TensorType.F32)

    made = list(encoded_slabs([typed], MappedShards(source.stored), n_threads=2))

    assert [slab.data.shape[0] for slab in made] == [3, 1, 3, 1, 3, 1]
    assert [slab.is_last for slab in made] == [False] * 5 + [True]
    assert sum(slab.n_source_bytes for slab in made) == source.n_source_bytes
    assert np.array_equal(np.concatenate([slab.data for slab in made]), np.concatenate(experts))
