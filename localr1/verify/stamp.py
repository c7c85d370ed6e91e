"""Owns what a checked file says about its making: keys under `localr1.quantize.` in its metadata.

The header is written before anything can be measured. So the keys go in with values of the same
size that mean "not measured", and the measured ones take their place in the finished file. Without
verification there are no such keys, and the file is llama.cpp's to the byte.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path

from localr1 import __version__
from localr1.verify.fidelity import MEASURES
from quant.gguf.key_values import KeyValues
from quant.gguf.types import ValueType
from quant.source.safetensors import StoredTensor

NOT_MEASURED = -1.0
PREFIX = "localr1.quantize."
_DIGEST = "source_sha256"
_DIGESTED_BYTES = 4096


def reserved_keys() -> KeyValues:
    """The keys as they go into the header."""
    keys = KeyValues()
    keys.string(f"{PREFIX}version", __version__)
    keys.string(f"{PREFIX}{_DIGEST}", "0" * 64)
    for name in MEASURES:
        keys.real(f"{PREFIX}{name}", NOT_MEASURED)
    return keys


def stamp(path: Path, header: bytes, measures: Mapping[str, float], digest: str) -> None:
    """Put measured values in place of the reserved ones. `header` is what the file begins with."""
    patches = {
        _place(header, name, ValueType.FLOAT32): struct.pack("<f", value)
        for name, value in measures.items()
    }
    patches[_place(header, _DIGEST, ValueType.STRING) + 8] = digest.encode()  # behind its length
    with path.open("r+b") as file:
        for offset, data in patches.items():
            file.seek(offset)
            file.write(data)
        file.flush()
        os.fsync(file.fileno())


def source_digest(tensors: Iterable[StoredTensor]) -> str:
    """SHA-256 that tells one source from another without reading all of it.

    Over name, format, shape and the first 4 KiB of every tensor, in order of name.
    """
    digest = hashlib.sha256()
    for tensor in sorted(set(tensors), key=lambda tensor: tensor.name):
        digest.update(f"{tensor.name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        with tensor.path.open("rb") as file:
            file.seek(tensor.offset)
            digest.update(file.read(min(tensor.n_bytes, _DIGESTED_BYTES)))
    return digest.hexdigest()


def _place(header: bytes, name: str, value_type: ValueType) -> int:
    """Where the value of a key begins."""
    key = f"{PREFIX}{name}".encode()
    # the last one: ours come behind the model's own, which may quote anything
    marker = struct.pack("<Q", len(key)) + key + struct.pack("<I", value_type)
    return header.rindex(marker) + len(marker)
