"""Owns the measurement itself: copies memory, lets the engine run small models, keeps the result.

It takes some seconds on a quiet machine. What it finds is kept in the cache and used by every
later plan, until the processor, its threads or the engine change.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from backends.cpu import cpu_parameters
from backends.machine import Machine, host_facts
from backends.parameters import LoadRequest
from localr1.calibration.measured import (
    Identity,
    Measured,
    Timing,
    measured_from,
    read_measured,
)
from localr1.calibration.memory_copy import copy_bytes_per_s
from localr1.calibration.probe_model import (
    DEEP,
    LOOKING,
    SHALLOW,
    TALKATIVE,
    WORD,
    narrow,
    wide,
    write_probe,
)
from localr1.calibration.rough import roughly_measured
from localr1.errors import UsageError
from localr1.model_facts.card import ModelCard
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
from quant.gguf.header import read_header
from quant.gguf.types import TensorType

_WEIGHT_BYTES = 128 * MIB  # several times the caches of a processor
_N_ROUNDS = 2
_N_PROMPT = 64
_N_LONG_PROMPT = 768
_N_TOKENS = 16
_N_QUICK_TOKENS = 64  # of models that take a millisecond for each


@dataclass(slots=True)
class _Probe:
    """One small model, and the times that were taken so far."""

    path: Path
    card: ModelCard
    n_prompt: int
    n_tokens: int
    token_s: list[float] = field(default_factory=list)
    prompt_s: list[float] = field(default_factory=list)

    def timing(self) -> Timing:
        return Timing(
            card=self.card,
            n_prompt=self.n_prompt,
            n_tokens=self.n_tokens,
            prompt_s=tuple(self.prompt_s),
            token_s=tuple(self.token_s),
        )


def measure(engine: Engine, type_names: Sequence[str]) -> Measured:
    """Measure these types of weights, the most used one first; keep what was known already.

    Raises: EngineError; UsageError if it cannot be kept; OSError without room for the probes.
    """
    identity = identity_here(engine.info.llama_cpp_python)
    types = [TensorType[name] for name in type_names]
    with tempfile.TemporaryDirectory(prefix="localr1-probe-") as folder:
        probes = _write_probes(Path(folder), types)
        # in turns: what else the machine does hits all of them alike
        for _ in range(_N_ROUNDS):
            for probe in probes:
                _run(engine, probe)
    found = measured_from(
        identity,
        copies_per_s=copy_bytes_per_s(identity.n_threads),
        timings=[probe.timing() for probe in probes],
    ).adding(last_measured(engine.info.llama_cpp_python))
    _keep(found)
    return found


def measure_roughly(llama_cpp_python: str) -> Measured:
    """What a memory copy tells, in a quarter of a second and without an engine; kept as well."""
    identity = identity_here(llama_cpp_python)
    found = roughly_measured(identity, copy_bytes_per_s(identity.n_threads))
    with suppress(UsageError):  # it is as good without being kept
        _keep(found)
    return found


def last_measured(llama_cpp_python: str) -> Measured | None:
    """What was measured on this machine with this engine before; None if nothing was."""
    try:
        document = json.loads(_path().read_text(encoding="utf-8"))
    except (OSError, UsageError, ValueError, RecursionError):
        return None
    return read_measured(document, identity_here(llama_cpp_python))


def _write_probes(folder: Path, types: Sequence[TensorType]) -> list[_Probe]:
    quick = [(shape, types[0], _N_PROMPT) for shape in (SHALLOW, TALKATIVE, *DEEP)]
    quick += [(shape, types[0], _N_LONG_PROMPT) for shape in LOOKING]
    slow = [
        (make(kind, _WEIGHT_BYTES), kind, _N_PROMPT) for kind in types for make in (wide, narrow)
    ]
    probes = []
    for i, (shape, kind, n_prompt) in enumerate([*quick, *slow]):
        path = folder / f"{i}.gguf"
        write_probe(path, kind, shape)
        card = ModelCard.from_header(read_header(path))
        n_tokens = _N_QUICK_TOKENS if i < len(quick) else _N_TOKENS
        probes.append(_Probe(path, card, n_prompt, n_tokens))
    return probes


def _run(engine: Engine, probe: _Probe) -> None:
    """Load a probe, let it read its prompt and answer, and take the times."""
    request = LoadRequest(
        model_path=str(probe.path), n_ctx=probe.card.n_ctx_train, n_layer=probe.card.n_layer
    )
    for _ in engine.load(cpu_parameters(request, host_facts(Machine()))):
        pass
    at_s: list[float] = []
    question = GenerateRequest(
        segments=(Segment(WORD * probe.n_prompt, parse_special=False),),
        sampling=Sampling(),
        max_tokens=probe.n_tokens,
    )
    for frame in engine.generate(question):
        if isinstance(frame, TokenPiece):
            at_s.append(frame.at_s)
        elif isinstance(frame, GenerationEnd):
            probe.prompt_s.append(frame.prefill_s)
    probe.token_s += [after - before for before, after in pairwise(at_s)]


def identity_here(llama_cpp_python: str) -> Identity:
    """What a measurement of this machine holds for."""
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
    try:
        part.write_text(json.dumps(measured.to_json(), indent=1) + "\n", encoding="utf-8")
        part.replace(path)
    except OSError as exc:
        part.unlink(missing_ok=True)
        raise UsageError(
            f"cannot keep what was measured in {path}: {exc.strerror}",
            hint="set LOCALR1_HOME to a directory that can be written",
        ) from exc
