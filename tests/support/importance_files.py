"""Owns how tests write and read importance matrices: byte by byte, without our own code.

The GGUF format goes through llama.cpp's own Python package; either format can be made to lie.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.support.checkpoint_families import write_family
from tests.support.checkpoint_zoo import write_checkpoint

Float32Array = npt.NDArray[np.float32]
MEASURED = {"r1_nano": 512, "qwen2moe": 64}
"""Models that llama.cpp's tool has measured, and the length of a chunk."""


def arithmetic() -> str:
    """A text in the language of the embedded model, about 3,000 of its tokens long."""
    lines = []
    for n in range(64):
        a, b, c = 3 + n * 7 % 41, 2 + n * 5 % 29, 2 + n * 3 % 11
        total = a + b * c
        lines.append(f"What is {a} + {b} * {c}? First, {b}×{c}={b * c}. The answer is {total}.")
    return "\n".join(lines) + "\n"


def write_measured_checkpoint(name: str, parent: Path) -> Path:
    """The checkpoint of one of `MEASURED`."""
    if name == "r1_nano":
        return write_checkpoint(name, parent)
    return write_family(name, parent)


def golden_importance(name: str) -> Path:
    """What is kept of the file that llama.cpp's tool made."""
    return Path(__file__).parents[1] / "golden" / "quant" / "imatrix" / f"{name}.json"


def describe_importance(path: Path) -> dict[str, Any]:
    """A GGUF file: keys, shapes, counts; of the sums three, and what they add up to."""
    import gguf

    reader = gguf.GGUFReader(path)
    fields = reader.fields.values()
    tensors: dict[str, Any] = {}
    for tensor in reader.tensors:
        values = [float(value) for value in tensor.data.reshape(-1)]
        if tensor.name.endswith(".in_sum2"):
            sample = [values[0], values[len(values) // 2], values[-1], sum(values)]
            values = [float(f"{value:.6g}") for value in sample]
        tensors[tensor.name] = [tensor.shape.tolist(), values]
    keys = {f.name: f.contents() for f in fields if not f.name.startswith("GGUF.")}
    return {"keys": keys, "tensors": tensors}


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
