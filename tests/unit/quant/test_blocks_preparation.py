from __future__ import annotations

import platform
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from quant.blocks import compiled_code, preparation, registry
from quant.blocks.preparation import _Preparation, lane_kernels
from quant.blocks.registry import Kernel
from quant.gguf.types import TensorType
from quant.pipeline import convert
from tests.support.models import R1_NANO_CHECKPOINT

_PLENTY = 1 << 30


@pytest.fixture(autouse=True)
def _nothing_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_loaded", {})


def _instead_of_the_compiler(monkeypatch: pytest.MonkeyPatch, script: str) -> threading.Event:
    """Makes the child run `script`; the event says that it has been started."""
    has_started = threading.Event()

    def start(_directory: Path | None, _kernels: Sequence[Kernel]) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        has_started.set()
        return child

    monkeypatch.setattr(preparation, "_start_child", start)
    return has_started


def test_most_work_comes_first_and_little_work_not_at_all() -> None:
    n_weights = {
        (TensorType.Q6_K, False): 1 << 28,
        (TensorType.Q4_K, False): 1 << 28,
        (TensorType.Q5_K, False): 1 << 20,
        (TensorType.IQ4_NL, False): 1 << 20,
        (TensorType.Q8_0, False): 1 << 40,
        (TensorType.Q4_0, False): 1 << 40,
    }

    amounts = preparation._work_by_kernel(n_weights)

    assert list(amounts.items()) == [
        (Kernel.K_QUANTS, (1 << 28) + (1 << 20)),
        (Kernel.Q6_K, 1 << 28),
    ]


def test_a_small_conversion_starts_neither_thread_nor_child() -> None:
    before = threading.active_count()

    with lane_kernels({(TensorType.Q4_K, False): 5_000_000}, None):
        assert threading.active_count() == before


@pytest.mark.skipif(
    platform.machine() not in preparation._NEVER_FUSED, reason="lane kernels are for x86-64"
)
def test_a_kernel_is_compiled_by_a_child_and_used() -> None:
    pytest.importorskip("numba", reason="numba compiles the lane kernels and is not installed")
    prepared = _Preparation({Kernel.Q6_K: _PLENTY}, None)

    prepared._thread.join()
    prepared.stop()

    assert set(registry._loaded) == {TensorType.Q6_K}
    assert prepared._child is None or prepared._child.returncode == 0


def test_a_kernel_that_is_not_on_the_disk_needs_more_work_to_pay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_started = _instead_of_the_compiler(monkeypatch, "")
    prepared = _Preparation({Kernel.Q6_K: preparation._PAYS_TO_LOAD}, tmp_path)

    prepared._thread.join()
    prepared.stop()

    assert not has_started.is_set()


def test_a_child_that_still_compiles_at_the_end_is_killed_and_reaped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("numba", reason="without numba no child is started")
    has_started = _instead_of_the_compiler(monkeypatch, "import time; time.sleep(600)")
    prepared = _Preparation({Kernel.Q6_K: _PLENTY}, tmp_path)
    has_started.wait()

    prepared.stop()

    assert prepared._child is not None
    assert prepared._child.returncode is not None
    assert not prepared._thread.is_alive()


@pytest.mark.parametrize(
    "script", ["raise SystemExit(1)", "print('nonsense')", "import os; os.abort()"]
)
def test_a_child_that_fails_leaves_the_work_to_llama_cpp(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _instead_of_the_compiler(monkeypatch, script)
    prepared = _Preparation({Kernel.Q6_K: _PLENTY}, tmp_path)

    prepared._thread.join()
    prepared.stop()

    assert registry._loaded == {}
    assert registry.quantize(TensorType.Q6_K, np.ones((1, 256), np.float32)).any()


def test_without_numba_llama_cpp_does_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    prepared = _Preparation({Kernel.Q6_K: _PLENTY}, tmp_path)

    prepared._thread.join()
    prepared.stop()

    assert prepared._child is None
    assert registry._loaded == {}


def test_the_compiler_ends_with_its_parent(tmp_path: Path) -> None:
    child = preparation._start_child(tmp_path, [Kernel.K_QUANTS])
    assert child.stdin is not None

    child.stdin.close()

    with child:
        assert child.wait(timeout=60) == 1


def test_whoever_encodes_a_row_the_file_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("numba", reason="numba compiles the lane kernels and is not installed")
    convert(R1_NANO_CHECKPOINT, tmp_path / "by-llama-cpp.gguf", file_type="Q4_K_M")
    monkeypatch.setattr(preparation, "_PAYS_TO_LOAD", 1)
    convert(R1_NANO_CHECKPOINT, tmp_path / "perhaps-by-both.gguf", file_type="Q4_K_M")
    compiled_code.keep_below(None)
    for kernel in (Kernel.K_QUANTS, Kernel.Q6_K):
        registry.load(kernel)

    convert(R1_NANO_CHECKPOINT, tmp_path / "by-lanes.gguf", file_type="Q4_K_M")

    expected = (tmp_path / "by-llama-cpp.gguf").read_bytes()
    assert (tmp_path / "perhaps-by-both.gguf").read_bytes() == expected
    assert (tmp_path / "by-lanes.gguf").read_bytes() == expected
