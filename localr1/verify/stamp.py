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
from quant.gguf.header import GgufHeader, read_header
from quant.gguf.key_values import KeyValues
from quant.gguf.types import ValueType
from quant.output.target import explained
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


def stamp(path: Path, measures: Mapping[str, float], digest: str) -> bool:
    """Put measured values in place of the reserved ones; False if the file has no such keys.

    Raises: QuantError if the file cannot be read or written.
    """
    spans = read_header(path).value_spans
    values = {f"{PREFIX}{name}": struct.pack("<If", ValueType.FLOAT32, value)
              for name, value in measures.items()}  # fmt: skip
    values[PREFIX + _DIGEST] = struct.pack("<IQ", ValueType.STRING, len(digest)) + digest.encode()
    sizes = {key: end - start for key, (start, end) in spans.items()}
    if any(sizes.get(key) != len(value) for key, value in values.items()):
        return False
    with explained(path), path.open("r+b") as file:
        for key, value in values.items():
            file.seek(spans[key][0])
            file.write(value)
        file.flush()
        os.fsync(file.fileno())
    return True


def recorded_digest(header: GgufHeader) -> str:
    """The source's digest as a verified file has it; empty if it was never verified."""
    digest = header.kv.get(PREFIX + _DIGEST)
    return digest if isinstance(digest, str) and digest.strip("0") else ""


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
