"""Importance matrices come from strangers: what is wrong with one is said, and nothing breaks."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant.errors import GgufFileError, ImportanceFileError
from quant.importance.reader import read_importance
from tests.support.importance_files import legacy_importance, write_gguf_importance

_Q = "blk.0.attn_q.weight"
_SUMS = np.arange(1, 7, dtype=np.float32).reshape(2, 3)
_NAN, _INF = float("nan"), float("inf")


def _entries(sums: list[float], counts: list[float]) -> dict[str, Any]:
    return {_Q: (np.array([sums], dtype=np.float32), counts)}


@pytest.mark.parametrize(
    ("entries", "keys", "message"),
    [
        ({}, {}, "without any entry"),
        ({_Q: (_SUMS, [1, 1])}, {"imatrix.chunk_count": None}, "it has no key imatrix.chunk_count"),
        ({_Q: (_SUMS, [1, 1])}, {"imatrix.chunk_size": None}, "it has no key imatrix.chunk_size"),
        ({_Q: (_SUMS, [1, 1])}, {"imatrix.chunk_count": "many"}, "imatrix.chunk_count is 'many'"),
        ({_Q: (_SUMS, [1, 1])}, {"imatrix.chunk_count": 2**31}, "chunk_count is 2147483648"),
        ({_Q: (_SUMS, [1, 1, 1, 1])}, {}, "6 sums for blk.0.attn_q.weight do not share 4 counts"),
        ({_Q: (_SUMS.astype(np.float16), [1, 1])}, {}, "in_sum2 is F16, not F32"),
        (_entries([1, _NAN], [1]), {}, "the sums for blk.0.attn_q.weight hold NaN"),
        (_entries([1, _INF], [1]), {}, "the sums for blk.0.attn_q.weight hold NaN"),
        (_entries([1, -1], [1]), {}, "the sums for blk.0.attn_q.weight hold NaN"),
        (_entries([1, 1], [_NAN]), {}, "the counts for blk.0.attn_q.weight hold NaN"),
    ],
)
def test_gguf_that_lies_is_refused(
    entries: dict[str, Any], keys: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "imatrix.gguf"
    write_gguf_importance(path, entries, keys=keys)

    with pytest.raises(ImportanceFileError) as caught:
        read_importance(path)

    assert message in caught.value.message


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (".counts", ".numbrs", r"attn_q\.weight\.counts is missing"),
        (".in_sum2", ".in_sum3", r"attn_q\.weight\.in_sum2 is missing"),
    ],
)
def test_half_an_entry_is_refused(old: str, new: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "imatrix.gguf"
    write_gguf_importance(path, {_Q: (_SUMS, [1, 1])})
    path.write_bytes(path.read_bytes().replace(old.encode(), new.encode()))

    with pytest.raises(ImportanceFileError, match=message):
        read_importance(path)


def test_counts_without_sums_are_refused_beside_honest_entries(tmp_path: Path) -> None:
    path = tmp_path / "imatrix.gguf"
    write_gguf_importance(path, {"a": (_SUMS, [1, 1]), "b": (_SUMS, [1, 1])})
    path.write_bytes(path.read_bytes().replace(b"b.in_sum2", b"b.in_sum3"))

    with pytest.raises(ImportanceFileError, match=r"tensor b\.in_sum2 is missing"):
        read_importance(path)


def test_file_that_may_not_be_read_or_cannot_be_named_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")

    for path in (tmp_path / "file" / "below", tmp_path / "a\0b"):
        with pytest.raises(ImportanceFileError, match="cannot read"):
            read_importance(path)


def test_model_is_no_importance_matrix(r1_nano: Path) -> None:
    with pytest.raises(ImportanceFileError, match=r"it has no key imatrix\.datasets"):
        read_importance(r1_nano)


_WHOLE = legacy_importance({_Q: (4, [8, 2, 0, 4]), "blk.1.attn_q.weight": (4, [1, 2])})


def _with(position: int, number: int) -> bytes:
    return _WHOLE[:position] + struct.pack("<i", number) + _WHOLE[position + 4 :]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"PK", "or is cut off"),
        (b"PK\3\4 a zip file, say", "for the number of entries"),
        (_with(0, 0), "0 for the number of entries"),
        (_with(0, -1), "-1 for the number of entries"),
        (_with(0, 2**31 - 1), "for the number of entries"),
        (_with(0, 3), "or is cut off"),
        (_with(4, 0), "0 for the number of bytes of a name"),
        (_with(4, -5), "-5 for the number of bytes of a name"),
        (_with(4, 2**30), "for the number of bytes of a name"),
        (_with(31, 0), "0 for the number of values for blk.0.attn_q.weight"),
        (_with(31, 2**31 - 1), "or is cut off"),
        (_with(35, 0x7FC00000), "hold NaN"),
        (_with(35, -1082130432), "hold NaN"),  # -1.0
        (_WHOLE.replace(b"blk.1", b"blk.0"), "blk.0.attn_q.weight is twice there"),
        (_WHOLE[:-1], "or is cut off"),
        (_WHOLE[:-11], "or is cut off"),
    ],
)
def test_old_file_that_lies_is_refused(data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "imatrix.dat"
    path.write_bytes(data)

    with pytest.raises(ImportanceFileError) as caught:
        read_importance(path)

    assert message in caught.value.message


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_what_is_no_file_is_not_opened(make: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "imatrix"
    make(path)

    with pytest.raises(ImportanceFileError, match="not a regular file"):
        read_importance(path)


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    path = tmp_path_factory.mktemp("importance") / "imatrix.gguf"
    write_gguf_importance(path, {_Q: (_SUMS, [1, 1]), "b": (_SUMS, [2, 0])})
    return path, path.read_bytes()


@given(place=st.integers(0, 10_000), value=st.integers(0, 255), is_old=st.booleans())
def test_any_changed_byte_is_read_or_refused(
    honest: tuple[Path, bytes], place: int, value: int, *, is_old: bool
) -> None:
    path, gguf = honest
    data = bytearray(_WHOLE if is_old else gguf)
    data[place % len(data)] = value
    path.write_bytes(data)

    try:
        matrix = read_importance(path)
    except (ImportanceFileError, GgufFileError):
        return
    for entry in matrix.entries.values():
        assert np.isfinite(entry.row(0, entry.sums.size)).all()


@given(n_bytes=st.integers(0, 10_000), is_old=st.booleans())
def test_any_cut_is_refused(honest: tuple[Path, bytes], n_bytes: int, *, is_old: bool) -> None:
    path, gguf = honest
    # what follows the entries of an old file may be missing
    data = _WHOLE[: -len("a.txt") - 8] if is_old else gguf[:-24]  # the end is padding
    path.write_bytes(data[: n_bytes % len(data)])

    with pytest.raises((ImportanceFileError, GgufFileError)):
        read_importance(path)
