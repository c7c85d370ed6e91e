"""Owns how tests write importance matrices: byte by byte, without our own code.

The GGUF format goes through llama.cpp's own Python writer; either format can be made to lie.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Float32Array = npt.NDArray[np.float32]


def write_gguf_importance(
    path: Path,
    entries: Mapping[str, tuple[Float32Array, Sequence[float]]],
    *,
    datasets: Sequence[str] = ("calibration.txt",),
    keys: Mapping[str, Any] | None = None,
) -> None:
    """Sums, shape (matrices, columns), and counts by the name of a weight.

    `keys` replaces the counts of chunks; a key of None is left out.
    """
    import gguf

    writer = gguf.GGUFWriter(path, "")
    writer.kv_data[0].clear()
    writer.add_type("imatrix")
    writer.add_array("imatrix.datasets", list(datasets))
    numbers = {"imatrix.chunk_count": 11, "imatrix.chunk_size": 512} | dict(keys or {})
    for key, value in numbers.items():
        if isinstance(value, str):
            writer.add_string(key, value)
        elif value is not None:
            writer.add_uint32(key, value)
    for name, (sums, counts) in entries.items():
        writer.add_tensor(f"{name}.in_sum2", sums)
        writer.add_tensor(f"{name}.counts", np.array(counts, dtype=sums.dtype).reshape(-1, 1))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def legacy_importance(
    entries: Mapping[str, tuple[int, Sequence[float]]],
    *,
    n_chunks: int = 11,
    dataset: str = "a.txt",
) -> bytes:
    """A file of the old format: number of calls and values by the name of a weight."""
    parts = [struct.pack("<i", len(entries))]
    for name, (n_calls, values) in entries.items():
        parts += [_text(name), struct.pack(f"<ii{len(values)}f", n_calls, len(values), *values)]
    return b"".join([*parts, struct.pack("<i", n_chunks), _text(dataset)])


def _text(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack("<i", len(encoded)) + encoded
