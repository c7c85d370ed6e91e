"""Owns what llama.cpp is given to read a vocabulary from, where weights are not there.

A header that was fetched from a hub, a file that was cut off, and the first of several parts have
the whole vocabulary. llama.cpp refuses them for the weights that they announce; those are left out.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from quant.gguf.header import read_header
from quant.gguf.key_values import KeyValues
from quant.gguf.writer import encode_header

_OF_PARTS = "split."


@contextlib.contextmanager
def vocabulary_file(gguf: Path) -> Iterator[Path]:
    """A file to load a vocabulary from while the block runs. Raises: GgufFileError, OSError."""
    header = read_header(gguf, allow_truncated=True)
    if not header.missing_bytes and not any(key.startswith(_OF_PARTS) for key in header.kv):
        yield gguf
        return
    key_values = KeyValues()
    for key, value in header.read_encoded().items():
        if not key.startswith(_OF_PARTS):
            key_values.encoded(key, value)
    with tempfile.TemporaryDirectory(prefix="localr1-") as directory:
        alone = Path(directory) / "vocabulary.gguf"
        alone.write_bytes(encode_header(key_values, []))
        yield alone
