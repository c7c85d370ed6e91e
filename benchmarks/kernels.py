"""Weights per second and core of each block type: our kernels against `ggml_quantize_chunk`.

Both quantise the same rows into fresh memory on the same core, in turns, and the best turn of each
counts: a busy neighbour slows single turns. Time is the thread's own. Where the kernel is llama.cpp
itself the ratio must come out near 1: those lines are the control for all others.

Prints one line per type, with and without importance weights, whether the bytes agree, how long the
first use took (compiling or loading compiled code), and last one line of JSON.
"""

from __future__ import annotations

import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from quant.blocks import compiled_code, registry
from quant.blocks.reference import Floats, quantize_chunk
from quant.gguf.types import TensorType

_TURNS = 7
_N_COLS = 2048
_N_ROWS = 128
_FEATURES = ("AVX2", "FMA3", "AVX512F", "NEON")


def main() -> int:
    """Exit status: 1 if any byte differs."""
    compiled_code.keep_below(None)
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((_N_ROWS, _N_COLS), dtype=np.float32) * np.float32(0.02)
    importance = rng.standard_exponential(_N_COLS, dtype=np.float32)
    features = _cpu_features()
    print(f"{_cpu_name()}; {' '.join(features)}")
    print("type    weights    kernel         ours  llama.cpp  ratio  first use")
    measured = []
    for tensor_type in registry.TYPES:
        for weights in (None, importance):
            result = _measure(tensor_type, rows, weights)
            measured.append(result)
            print(
                f"{tensor_type.name:8}{'importance' if result['is_weighted'] else 'none':10} "
                f"{result['kernel']:10}{result['ours']:8.1f}{result['llama_cpp']:11.1f}"
                f"{result['ratio']:7.2f}{result['first_use_s']:9.2f} s"
                f"{'' if result['is_identical'] else '  BYTES DIFFER'}"
            )
    print("unit: million weights per second on one core")
    report = {"benchmark": "kernels", "cpu": _cpu_name(), "features": features, "types": measured}
    print(json.dumps(report))
    return 0 if all(result["is_identical"] for result in measured) else 1


def _measure(tensor_type: TensorType, rows: Floats, importance: Floats | None) -> dict[str, Any]:
    is_weighted = importance is not None
    kernel = registry.kernel_for(tensor_type, is_weighted=is_weighted)
    started_s = time.perf_counter()
    has_lanes = kernel is not None and registry.load(kernel)
    first_use_s = time.perf_counter() - started_s
    theirs = np.empty((rows.shape[0], tensor_type.n_bytes(rows.shape[1])), np.uint8)
    ours_s = theirs_s = float("inf")
    for _ in range(_TURNS):
        started_s = time.thread_time()
        ours = registry.quantize(tensor_type, rows, importance)
        ours_s = min(ours_s, time.thread_time() - started_s)
        started_s = time.thread_time()
        quantize_chunk(tensor_type, rows, importance, theirs)
        theirs_s = min(theirs_s, time.thread_time() - started_s)
    ours_per_s = rows.size / ours_s / 1e6
    theirs_per_s = rows.size / theirs_s / 1e6
    return {
        "type": tensor_type.name,
        "is_weighted": is_weighted,
        "kernel": "lanes" if has_lanes else "llama.cpp",
        "ours": round(ours_per_s, 1),
        "llama_cpp": round(theirs_per_s, 1),
        "ratio": round(ours_per_s / theirs_per_s, 2),
        "first_use_s": round(first_use_s, 2),
        "is_identical": bool(np.array_equal(ours, theirs)),
    }


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _cpu_features() -> list[str]:
    # numpy has detected them already; there is no public way to ask.
    detected: dict[str, bool] = np._core._multiarray_umath.__cpu_features__  # type: ignore[attr-defined] # noqa: SLF001
    return [name for name in _FEATURES if detected.get(name)]


if __name__ == "__main__":
    sys.exit(main())
