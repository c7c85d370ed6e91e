"""Writes PyTorch's `.bin` files for tests, honest and hostile, byte by byte and without torch.

An honest one has torch's layout: a zip of stored members, `data.pkl` in pickle protocol 2, and one
member of numbers per storage. Hostile ones have any pickle, and any members.
"""

from __future__ import annotations

import itertools
import math
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

from tests.support.checkpoint_files import StoredArray

_STORAGES = {"F32": "FloatStorage", "F16": "HalfStorage", "BF16": "BFloat16Storage"}


def text(value: str) -> bytes:
    """BINUNICODE."""
    encoded = value.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def number(value: int) -> bytes:
    """BININT."""
    return b"J" + struct.pack("<i", value)


def name(module: str, attribute: str) -> bytes:
    """GLOBAL."""
    return f"c{module}\n{attribute}\n".encode()


def sizes(values: tuple[int, ...]) -> bytes:
    """A tuple of numbers."""
    return b"(" + b"".join(map(number, values)) + b"t"


def tensor(
    key: str,
    dtype: str,
    shape: tuple[int, ...],
    *,
    start: int = 0,
    n_items: int | None = None,
    strides: tuple[int, ...] | None = None,
) -> bytes:
    """A call of `_rebuild_tensor_v2` on a storage, contiguous unless strides are given."""
    if strides is None:
        strides = tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
    storage = name("torch", _STORAGES[dtype])
    items = number(math.prod(shape) if n_items is None else n_items)
    reference = b"(" + text("storage") + storage + text(key) + text("cpu") + items + b"tQ"
    hooks = name("collections", "OrderedDict") + b")R"
    arguments = reference + number(start) + sizes(shape) + sizes(strides) + b"\x89" + hooks
    return name("torch._utils", "_rebuild_tensor_v2") + b"(" + arguments + b"tR"


def state_dict(tensors: Mapping[str, bytes]) -> bytes:
    """A pickle of a plain dictionary."""
    items = b"".join(text(key) + value for key, value in tensors.items())
    return b"\x80\x02}(" + items + b"u."


def write_archive(path: Path, pickle: bytes, storages: Mapping[str, bytes]) -> None:
    """A zip in torch's layout around any pickle."""
    root = path.stem
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(f"{root}/data.pkl", pickle)
        archive.writestr(f"{root}/byteorder", b"little")
        for key, data in storages.items():
            archive.writestr(f"{root}/data/{key}", data)
        archive.writestr(f"{root}/version", b"3\n")


def write_pytorch(path: Path, arrays: Mapping[str, StoredArray]) -> None:
    """An honest file; arrays with the same bytes object share a storage, as tied weights do."""
    keys: dict[int, str] = {}
    counter = itertools.count()
    tensors, storages = {}, {}
    for tensor_name, array in arrays.items():
        key = keys.setdefault(id(array.data), str(next(counter)))
        storages[key] = array.data
        tensors[tensor_name] = tensor(key, array.dtype, array.shape)
    write_archive(path, state_dict(tensors), storages)


def damaged_member(path: Path, marker: bytes, change: Mapping[int, bytes]) -> None:
    """Write over bytes at distances from the first place where `marker` occurs."""
    content = bytearray(path.read_bytes())
    at = content.index(marker)
    for distance, data in change.items():
        content[at + distance : at + distance + len(data)] = data
    path.write_bytes(content)


def widened(path: Path) -> None:
    """Rewrite an archive's directory with 64-bit records, as files above 4 GiB have."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        start = archive.start_dir
    entries, full = b"", 0xFFFFFFFF
    for member in members:
        encoded = member.filename.encode()
        wide = struct.pack("<2H3Q", 1, 24, member.file_size, member.file_size, member.header_offset)
        entries += struct.pack(
            "<4s6H3I5H2I", b"PK\x01\x02", 45, 45, 0, 0, 0, 0, member.CRC, full, full,
            len(encoded), len(wide), 0, 0, 0, 0, full,
        ) + encoded + wide  # fmt: skip
    n = len(members)
    end64 = struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, n, n, len(entries), start)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, start + len(entries), 1)
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, full, full, 0)
    path.write_bytes(path.read_bytes()[:start] + entries + end64 + locator + end)
