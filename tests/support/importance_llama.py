"""Owns llama.cpp's quantiser led by an importance matrix: in a child, which alone may load it.

The library takes means; its command line tool makes them of the file and says so in the metadata.
What that tool does (tools/quantize/quantize.cpp) is repeated here, on llama.cpp's Python reader.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_QUANTISE = """
import ctypes, sys
import gguf, llama_cpp
import numpy as np
source, target, file_type, matrix = sys.argv[1:]

reader = gguf.GGUFReader(matrix)
tensors = {tensor.name: tensor.data for tensor in reader.tensors}
means = {}
for name, sums in tensors.items():
    if name.endswith(".in_sum2"):
        weight = name[: -len(".in_sum2")]
        counts = tensors[weight + ".counts"].reshape(-1)
        rows = sums.reshape(len(counts), -1)
        means[weight] = np.concatenate(
            [row / count if count > 0 else np.ones_like(row) for row, count in zip(rows, counts)]
        ).astype(np.float32)

data = (llama_cpp.llama_model_imatrix_data * (len(means) + 1))()
for entry, (weight, values) in zip(data, means.items()):
    entry.name = weight.encode()
    entry.data = values.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
    entry.size = values.size

facts = {
    "file": matrix,
    "dataset": reader.fields["imatrix.datasets"].contents()[0],
    "entries_count": len(means),
    "chunks_count": reader.fields["imatrix.chunk_count"].contents(),
}
overrides = (llama_cpp.llama_model_kv_override * (len(facts) + 1))()
for override, (key, value) in zip(overrides, facts.items()):
    override.key = f"quantize.imatrix.{key}".encode()
    if isinstance(value, str):
        override.tag = llama_cpp.LLAMA_KV_OVERRIDE_TYPE_STR
        override.value.val_str = value.encode()[:127]
    else:
        override.tag = llama_cpp.LLAMA_KV_OVERRIDE_TYPE_INT
        override.value.val_i64 = value

params = llama_cpp.llama_model_quantize_default_params()
params.ftype = int(file_type)
params.nthread = 2
params.imatrix = data
params.kv_overrides = ctypes.cast(overrides, type(params.kv_overrides))
sys.exit(llama_cpp.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(params)))
"""


def llama_quantise_led(source: Path, target: Path, file_type: int, matrix: Path) -> None:
    """llama.cpp's own quantiser, GGUF to GGUF, with the importance matrix of a GGUF file."""
    arguments = [str(source), str(target), str(int(file_type)), str(matrix)]
    done = subprocess.run(
        [sys.executable, "-c", _QUANTISE, *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env=os.environ | {"GGML_NO_BACKTRACE": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
