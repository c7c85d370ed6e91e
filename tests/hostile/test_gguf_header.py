"""A file per bound of the header reader: each is refused by a typed error before anything is done.

The limits are in `quant.gguf.parser`; the files are made by hand, byte by byte.
"""

from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path

import pytest

from quant.errors import GgufFileError
from quant.gguf.header import read_header
from tests.support.gguf_writer import (
    F32,
    Q4_K,
    header,
    key_value,
    raw_key_value,
    string,
    tensor_row,
)

_U32, _F32, _STRING, _ARRAY = 4, 6, 8, 9
_HUGE = 2**63


def _array(item_type: int, n_items: int, payload: bytes = b"") -> bytes:
    return struct.pack("<IQ", item_type, n_items) + payload


_MANY_STRINGS = _array(_STRING, 2_000_000, bytes(8 * 2_000_000))

_FILES: dict[str, tuple[bytes, str]] = {
    "big-endian": (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian"),
    "version 0": (header(version=0), "big-endian|version 0"),
    "version 1": (header(version=1), "version 1"),
    "version 4": (header(version=4), "version 4"),
    "too many tensors": (header(n_tensors=65_537), "65537 tensors"),
    "negative number of tensors": (header(n_tensors=2**64 - 1), "tensors; the limit"),
    "too many key-values": (header(n_kv=4097), "4097 key-values"),
    "huge number of key-values": (header(n_kv=_HUGE), "key-values; the limit"),
    "fewer key-values than claimed": (header([key_value("a", 1)], n_kv=3), "empty|cut off"),
    "fewer tensors than claimed": (header(n_tensors=9), "cut off"),
    "empty key": (header([key_value("", 1)]), "empty"),
    "long key": (header([key_value("k" * 1025, 1)]), "1025 bytes"),
    "key longer than the file": (header([struct.pack("<Q", 900) + b"k"]), "cut off"),
    "key of 2^63 bytes": (header([struct.pack("<Q", _HUGE) + b"k"]), "the limit is 1024"),
    "key twice": (header([key_value("a", 1), key_value("a", 2)]), "twice"),
    "long string": (
        header([raw_key_value("s", _STRING, string(b"x" * (1024**2 + 1)))]),
        "1048577 bytes",
    ),
    "string beyond the file": (
        header([raw_key_value("s", _STRING, struct.pack("<Q", 2**19))]),
        "cut off",
    ),
    "long template": (
        header([key_value("tokenizer.chat_template", "x" * (256 * 1024 + 1))]),
        "the limit is 262144",
    ),
    "long named template": (
        header([key_value("tokenizer.chat_template.tool_use", "x" * (256 * 1024 + 1))]),
        "the limit is 262144",
    ),
    "much text in small pieces": (
        header([key_value(f"k{i}", "x" * 1024**2) for i in range(17)]),
        "too much text",
    ),
    "unknown value type": (header([raw_key_value("v", 13, bytes(8))]), "unknown value type 13"),
    "value type of 32 bits": (
        header([raw_key_value("v", 2**32 - 1, bytes(8))]),
        "unknown value type",
    ),
    "array of arrays": (
        header([raw_key_value("a", _ARRAY, _array(_ARRAY, 1, _array(_U32, 0)))]),
        "array of arrays",
    ),
    "array of unknown type": (header([raw_key_value("a", _ARRAY, _array(77, 1))]), "type 77"),
    "long array": (header([raw_key_value("a", _ARRAY, _array(_U32, 2_000_001))]), "2000001 items"),
    "array of 2^63 items": (header([raw_key_value("a", _ARRAY, _array(_U32, _HUGE))]), "the limit"),
    "array beyond the file": (
        header([raw_key_value("a", _ARRAY, _array(_F32, 100_000))]),
        "cut off",
    ),
    "short array beyond the file": (
        header([raw_key_value("a", _ARRAY, _array(_F32, 1000))]),
        "cut off",
    ),
    "strings beyond the file": (
        header([raw_key_value("a", _ARRAY, _array(_STRING, 5000, string("x")))]),
        "cut off",
    ),
    "string of 2^64-1 bytes in a long array": (
        header([raw_key_value("a", _ARRAY, _array(_STRING, 5000, b"\xff" * 8))]),
        "cut off",
    ),
    "many long arrays of strings": (
        header([raw_key_value(f"a{i}", _ARRAY, _MANY_STRINGS) for i in range(3)]),
        "too many strings",
    ),
    "alignment 0": (header([key_value("general.alignment", 0)]), "alignment 0"),
    "alignment 1": (header([key_value("general.alignment", 1)]), "alignment 1"),
    "alignment 48": (header([key_value("general.alignment", 48)]), "alignment 48"),
    "alignment 8192": (header([key_value("general.alignment", 8192)]), "alignment 8192"),
    "alignment in words": (header([key_value("general.alignment", "32")]), "alignment '32'"),
    "long tensor name": (header(tensor_rows=[tensor_row("n" * 64, (32,), F32, 0)]), "64 bytes"),
    "no dimensions": (header(tensor_rows=[tensor_row("t", (), F32, 0)]), "0 dimensions"),
    "five dimensions": (
        header(tensor_rows=[tensor_row("t", (1, 1, 1, 1, 1), F32, 0)]),
        "5 dimensions",
    ),
    "dimension 0": (header(tensor_rows=[tensor_row("t", (4, 0), F32, 0)]), "impossible shape"),
    "half a block": (header(tensor_rows=[tensor_row("t", (128, 2), Q4_K, 0)]), "impossible shape"),
    "more than 2^63 bytes": (
        header(tensor_rows=[tensor_row("t", (2**40, 2**40), F32, 0)]),
        "impossible shape",
    ),
    "unknown tensor type": (header(tensor_rows=[tensor_row("t", (32,), 99, 0)]), "unknown type 99"),
    "removed tensor type": (header(tensor_rows=[tensor_row("t", (32,), 4, 0)]), "unknown type 4"),
    "tensor twice": (
        header(tensor_rows=[tensor_row("t", (8,), F32, 0), tensor_row("t", (8,), F32, 32)])
        + bytes(64),
        "twice",
    ),
    "gap before the data": (
        header(tensor_rows=[tensor_row("t", (8,), F32, 32)]) + bytes(64),
        "lies at 32, not at 0",
    ),
    "overlapping tensors": (
        header(tensor_rows=[tensor_row("a", (8,), F32, 0), tensor_row("b", (8,), F32, 0)])
        + bytes(64),
        "lies at 0, not at 32",
    ),
    "offset of 2^63": (
        header(tensor_rows=[tensor_row("t", (8,), F32, _HUGE)]) + bytes(64),
        "not at 0",
    ),
    "data beyond the file": (header(tensor_rows=[tensor_row("t", (2**20,), F32, 0)]), "missing"),
}


@pytest.mark.parametrize(("content", "reason"), _FILES.values(), ids=_FILES.keys())
def test_a_lying_header_is_refused_with_its_reason(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "hostile.gguf"
    path.write_bytes(content)

    with pytest.raises(GgufFileError, match=reason) as caught:
        read_header(path)

    assert str(path) in caught.value.message
    assert "\n" not in caught.value.message


def test_a_header_over_128_mib_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "hostile.gguf"
    n_items = 2_000_000
    numbers = [
        raw_key_value(f"a{i}", _ARRAY, _array(10, n_items, bytes(8 * n_items))) for i in range(9)
    ]
    path.write_bytes(header(numbers))

    with pytest.raises(GgufFileError, match="over 128 MiB"):
        read_header(path)


def test_claims_cost_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "hostile.gguf"
    claims = [raw_key_value(f"a{i}", _ARRAY, _array(_U32, 2_000_000)) for i in range(4)]
    path.write_bytes(header(claims))

    tracemalloc.start()
    with pytest.raises(GgufFileError):
        read_header(path)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak_bytes < 2**20


def test_bytes_that_are_no_utf8_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "odd.gguf"
    path.write_bytes(header([raw_key_value("general.name", _STRING, string(b"\xff\xfea"))]))

    assert read_header(path).kv["general.name"] == "��a"
