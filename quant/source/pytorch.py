"""Owns PyTorch's `.bin` files: a checked tensor table, as for safetensors, without torch.

The file is a zip archive of `data.pkl`, a pickle that names the tensors, and `data/KEY`, their
numbers. The pickle is read and never run; the numbers stay where they are and are mapped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from quant.dtypes import BYTES_OF
from quant.errors import CheckpointDamagedError, UnsupportedError, unreadable
from quant.source.safetensors import MAX_TENSORS, StoredTensor, require_tensor_name
from quant.source.tensor_pickle import MAX_PICKLE_BYTES, PickledTensor, read_tensors
from quant.source.zip_members import Member, read_members

_PICKLE = "data.pkl"
_MAX_DIMS = 8


def read_pytorch_table(path: Path) -> dict[str, StoredTensor]:
    """The tensors of one file, by name. Raises: QuantError for any lie, and any program."""
    members = read_members(path)
    roots = [name.removesuffix(_PICKLE) for name in members if name.endswith("/" + _PICKLE)]
    if len(roots) != 1 or roots[0].count("/") != 1:
        raise UnsupportedError(
            f"{path} has {len(roots)} members {_PICKLE}, a PyTorch file has one at its top"
        )
    root = roots[0]
    _require_little_endian(path, members.get(root + "byteorder"))
    pickled = read_tensors(_content(path, members[root + _PICKLE], MAX_PICKLE_BYTES), str(path))
    if len(pickled) > MAX_TENSORS:
        raise CheckpointDamagedError(f"{path} lists {len(pickled):,} tensors, over {MAX_TENSORS:,}")
    # sorted, so that the same weights in either format give the same file
    return {
        name: _stored(path, name, pickled[name], members, data=root + "data/")
        for name in sorted(pickled)
    }


def _content(path: Path, member: Member, max_bytes: int) -> bytes:
    if member.n_bytes > max_bytes:
        raise CheckpointDamagedError(
            f"{path}: {member.name} has {member.n_bytes:,} bytes, over {max_bytes:,}"
        )
    try:
        with path.open("rb") as file:
            file.seek(member.offset)
            return file.read(member.n_bytes)
    except OSError as exc:
        raise unreadable(path, exc) from exc


def _require_little_endian(path: Path, member: Member | None) -> None:
    # files from before this member existed are little endian on every machine that made models
    if member is not None and _content(path, member, 16) != b"little":
        raise UnsupportedError(f"{path} holds big-endian numbers")


def _stored(
    path: Path, name: str, tensor: PickledTensor, members: Mapping[str, Member], *, data: str
) -> StoredTensor:
    where = f"{path}: tensor {name[:256]!r}"
    require_tensor_name(name, where)
    storage, size = tensor.storage, BYTES_OF[tensor.storage.dtype]
    if len(tensor.shape) > _MAX_DIMS:
        raise CheckpointDamagedError(f"{where} has {len(tensor.shape)} dimensions")
    member = members.get(data + storage.key)
    if member is None or member.n_bytes < storage.n_items * size:
        raise CheckpointDamagedError(
            f"{where} lies in the storage {storage.key[:40]!r} of {storage.n_items:,} items, "
            f"the file has {member.n_bytes if member else 0:,} bytes of it",
            hint="the file is truncated or damaged; fetch it again",
        )
    return StoredTensor(
        path,
        name,
        storage.dtype,
        tensor.shape,
        member.offset + tensor.start * size,
        math.prod(tensor.shape) * size,
    )
