"""Owns the measurement itself: copies memory, decodes with the engine, keeps the result.

It takes a second or two per type of weights on a quiet machine. What it finds is kept in the cache
and used by every later plan, until the processor, its threads or the engine change.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from backends.cpu import cpu_parameters
from backends.machine import Machine, host_facts
from backends.parameters import LoadRequest
from localr1.calibration.measured import Identity, Measured, Timing, from_json, measured_from
from localr1.calibration.probe_model import DEEP, WORD, ProbeShape, wide, write_probe
from localr1.settings import cache_dir
from localr1.units import MIB
from localr1.worker.frames import (
    GenerateRequest,
    GenerationEnd,
    Sampling,
    Segment,
    TokenPiece,
)
from localr1.worker.host import Engine
from quant.gguf.types import TensorType

_PROBE_BYTES = 128 * MIB  # several times the caches of a processor
_COPIED_BYTES = 128 * MIB
_N_COPIES = 8
_N_PROMPT = 128
_N_TOKENS = 33
_N_CTX = 1024


def measure(engine: Engine, type_names: Sequence[str]) -> Measured:
    """Measure these types of weights, the most used one first; keep what was known already.

    Raises: EngineError; OSError if there is no room for the probe.
    """
    identity = _identity(engine.info.llama_cpp_python)
    types = [TensorType[name] for name in type_names]
    timings = {kind.name: _probe(engine, kind, wide(kind, _PROBE_BYTES)) for kind in types}
    found = measured_from(
        identity,
        copies_per_s=_copy_bytes_per_s(identity.n_threads),
        timings=timings,
        deep=[_probe(engine, types[0], shape) for shape in DEEP],
    )
    before = last_measured(engine.info.llama_cpp_python)
    known = {} if before is None else before.weight_bytes_per_s
    found = replace(found, weight_bytes_per_s={**known, **found.weight_bytes_per_s})
    _keep(found)
    return found


def last_measured(llama_cpp_python: str) -> Measured | None:
    """What was measured on this machine with this engine before; None if nothing was."""
    try:
        document = json.loads(_path().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return from_json(document, _identity(llama_cpp_python))


def _probe(engine: Engine, tensor_type: TensorType, shape: ProbeShape) -> Timing:
    with tempfile.TemporaryDirectory(prefix="localr1-probe-") as folder:
        path = Path(folder) / "probe.gguf"
        n_bytes = write_probe(path, tensor_type, shape)
        token_s, prompt_s = _decode(engine, path, shape.n_layer)
    return Timing(
        n_bytes=n_bytes,
        n_weights=n_bytes // tensor_type.block_bytes * tensor_type.block_weights,
        token_s=token_s,
        n_prompt=_N_PROMPT,
        prompt_s=prompt_s,
        n_layer=shape.n_layer,
    )


def _decode(engine: Engine, path: Path, n_layer: int) -> tuple[tuple[float, ...], float]:
    """Seconds of each token, and of the prompt."""
    request = LoadRequest(model_path=str(path), n_ctx=_N_CTX, n_layer=n_layer)
    for _ in engine.load(cpu_parameters(request, host_facts(Machine()))):
        pass
    at_s: list[float] = []
    prompt_s = 0.0
    question = GenerateRequest(
        segments=(Segment(WORD * _N_PROMPT, parse_special=False),),
        sampling=Sampling(temperature=0),
        max_tokens=_N_TOKENS,
    )
    for frame in engine.generate(question):
        if isinstance(frame, TokenPiece):
            at_s.append(frame.at_s)
        elif isinstance(frame, GenerationEnd):
            prompt_s = frame.prefill_s
    return tuple(after - before for before, after in pairwise(at_s)), prompt_s


def _copy_bytes_per_s(n_threads: int) -> list[float]:
    """Bytes read and written per second while all threads copy, in several tries."""
    import numpy as np

    size = _COPIED_BYTES // n_threads
    blocks = [(np.ones(size, np.uint8), np.empty(size, np.uint8)) for _ in range(n_threads)]
    rates = []
    with ThreadPoolExecutor(n_threads) as pool:
        for _ in range(_N_COPIES):
            started_s = time.perf_counter()
            list(pool.map(lambda pair: np.copyto(pair[1], pair[0]), blocks))
            rates.append(2 * size * n_threads / (time.perf_counter() - started_s))
    return rates


def _identity(llama_cpp_python: str) -> Identity:
    machine = Machine()
    lines = (machine.read("/proc/cpuinfo") or "").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    brand = machine.output_of("sysctl", "-n", "machdep.cpu.brand_string")
    return Identity(
        processor=names[0] if names else (brand or machine.architecture).strip(),
        n_threads=host_facts(machine).n_cores,
        llama_cpp_python=llama_cpp_python,
    )


def _path() -> Path:
    return cache_dir() / "measured-speed.json"


def _keep(measured: Measured) -> None:
    path = _path()
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_text(json.dumps(measured.to_json(), indent=1) + "\n", encoding="utf-8")
    part.replace(path)
