"""Owns the zip container as PyTorch writes it: where each member's bytes lie in the file.

Members are found, never extracted: nothing is written, nothing is inflated, and a name is only a
key. Every offset is checked against the file. Stored members only, with the 64-bit records that
files above 4 GiB need. Format: APPNOTE.TXT of PKWARE, sections 4.3 and 4.5.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from quant.errors import CheckpointDamagedError, UnsupportedError, unreadable

MAX_MEMBERS = 65_536
_MAX_DIRECTORY_BYTES = 32 * 1024**2
_STORED = 0
_ENCRYPTED = 1
_IN_ZIP64 = 0xFFFFFFFF

# signatures and fixed parts; what follows them has variable length
_END = struct.Struct("<4s4H2IH")
_END64_LOCATOR = struct.Struct("<4sIQI")
_END64 = struct.Struct("<4sQ2H2I4Q")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_LOCAL = struct.Struct("<4s5H3I2H")
_MAX_COMMENT = 65_535


@dataclass(frozen=True, slots=True)
class Member:
    """A stored member."""

    name: str
    offset: int
    """Of its bytes, from the start of the file."""
    n_bytes: int


def read_members(path: Path) -> dict[str, Member]:
    """All members by name. Raises: QuantError if the file is no honest zip of stored members."""
    try:
        file_bytes = path.stat().st_size
        with path.open("rb") as file:
            _require_zip(path, file.read(8))
            start, n_bytes, n_members = _directory(path, file, file_bytes)
            file.seek(start)
            entries = list(_entries(path, file.read(n_bytes), n_members))
            members = [_located(path, file, entry, start) for entry in entries]
    except OSError as exc:
        raise unreadable(path, exc) from exc
    except struct.error as exc:
        raise _damaged(path, "its directory of members is cut off") from exc
    _require_apart(path, members)
    return {member.name: member for member in members}


def _damaged(path: Path, what: str) -> CheckpointDamagedError:
    return CheckpointDamagedError(
        f"{path}: {what}", hint="the file is truncated or damaged; fetch it again"
    )


def _require_zip(path: Path, magic: bytes) -> None:
    if magic.startswith(b"PK\x03\x04"):
        return
    what = "is no zip archive, as PyTorch 1.6 and later write"
    if magic.startswith(b"7z\xbc\xaf\x27\x1c"):
        what = "is a 7z archive, which PyTorch never writes: do not trust this file"
    elif magic.startswith(b"\x80"):
        what = "is a bare pickle, the format of PyTorch before 1.6"
    raise UnsupportedError(f"{path} {what}", hint="save the model as safetensors")


def _directory(path: Path, file: BinaryIO, file_bytes: int) -> tuple[int, int, int]:
    """Offset and bytes of the central directory, and its number of members."""
    tail_bytes = min(file_bytes, _END.size + _MAX_COMMENT + _END64_LOCATOR.size)
    file.seek(file_bytes - tail_bytes)
    tail = file.read(tail_bytes)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0:
        raise _damaged(path, "it has no directory of members at its end")
    _, _, _, _, n_members, n_bytes, start, _ = _END.unpack_from(tail, at)
    if at >= _END64_LOCATOR.size and tail[at - _END64_LOCATOR.size :].startswith(b"PK\x06\x07"):
        _, _, end64, _ = _END64_LOCATOR.unpack_from(tail, at - _END64_LOCATOR.size)
        if end64 > file_bytes - _END64.size:
            raise _damaged(path, f"its directory is said to end at {end64:,}")
        file.seek(end64)
        record = _END64.unpack(file.read(_END64.size))
        if record[0] != b"PK\x06\x06":
            raise _damaged(path, f"there is no directory record at {end64:,}")
        n_members, n_bytes, start = record[-3:]
    if start + n_bytes > file_bytes:
        raise _damaged(path, f"its directory of members lies at {start:,}+{n_bytes:,}")
    if n_members > MAX_MEMBERS or n_bytes > _MAX_DIRECTORY_BYTES:
        raise CheckpointDamagedError(f"{path} lists {n_members:,} members, over {MAX_MEMBERS:,}")
    return start, n_bytes, n_members


@dataclass(frozen=True, slots=True)
class _Entry:
    """A line of the central directory."""

    name: str
    header_offset: int
    n_bytes: int


def _entries(path: Path, directory: bytes, n_members: int) -> Iterator[_Entry]:
    at = 0
    for _ in range(n_members):
        fields = _CENTRAL.unpack_from(directory, at)
        flags, method = fields[3], fields[4]
        n_stored, n_bytes, n_name, n_extra, n_comment = fields[8:13]
        header_offset = fields[16]
        names_at = at + _CENTRAL.size
        name = _member_name(path, directory[names_at : names_at + n_name])
        if fields[0] != b"PK\x01\x02":
            raise _damaged(path, f"no member begins where {name!r} should")
        if method != _STORED or flags & _ENCRYPTED:
            raise UnsupportedError(
                f"{path}: the member {name!r} is compressed or encrypted; PyTorch stores plainly",
                hint="save the model as safetensors",
            )
        extra_at = names_at + n_name
        wide = _zip64_values(directory[extra_at : extra_at + n_extra])
        # the wide values stand in this order, and only for fields that are full
        n_bytes = next(wide) if n_bytes == _IN_ZIP64 else n_bytes
        n_stored = next(wide) if n_stored == _IN_ZIP64 else n_stored
        header_offset = next(wide) if header_offset == _IN_ZIP64 else header_offset
        if n_stored != n_bytes:
            raise _damaged(path, f"the member {name!r} has two lengths")
        yield _Entry(name, header_offset, n_bytes)
        at = extra_at + n_extra + n_comment


def _member_name(path: Path, raw: bytes) -> str:
    name = raw.decode("utf-8", errors="replace")
    parts = name.split("/")
    if not name.isprintable() or "\\" in name or ".." in parts or "" in parts:
        raise CheckpointDamagedError(f"{path}: a member has the name {name[:200]!r}")
    return name


def _zip64_values(extra: bytes) -> Iterator[int]:
    at = 0
    while at + 4 <= len(extra):
        tag, n_bytes = struct.unpack_from("<2H", extra, at)
        if tag == 1:
            yield from struct.unpack_from(f"<{n_bytes // 8}Q", extra, at + 4)
        at += 4 + n_bytes
    # running out is a cut-off directory to the caller
    raise struct.error("a 64-bit length is missing")


def _located(path: Path, file: BinaryIO, entry: _Entry, directory_start: int) -> Member:
    file.seek(min(entry.header_offset, directory_start))
    header = _LOCAL.unpack(file.read(_LOCAL.size))
    name = file.read(header[9]).decode("utf-8", errors="replace")
    if header[0] != b"PK\x03\x04" or name != entry.name:
        raise _damaged(path, f"the member {entry.name!r} is not where the directory puts it")
    offset = entry.header_offset + _LOCAL.size + header[9] + header[10]
    if offset + entry.n_bytes > directory_start:
        raise _damaged(path, f"the member {entry.name!r} runs over its end")
    return Member(entry.name, offset, entry.n_bytes)


def _require_apart(path: Path, members: list[Member]) -> None:
    if len({member.name for member in members}) != len(members):
        raise CheckpointDamagedError(f"{path}: two members have the same name")
    ordered = sorted(members, key=lambda member: (member.offset, member.n_bytes))
    for before, after in itertools.pairwise(ordered):
        if before.offset + before.n_bytes > after.offset:
            raise CheckpointDamagedError(
                f"{path}: the members {before.name!r} and {after.name!r} overlap"
            )
