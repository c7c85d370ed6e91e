"""Owns when lane kernels are fetched: beside the work, and only where they pay.

Compiling a kernel takes 5 to 12 seconds, once; loading it half a second. Until one is at hand
llama.cpp does the work, so a conversion never waits, and the bytes do not depend on any of this.
Whatever goes wrong (no compiler, no room for its files, a child that dies) leaves the work to
llama.cpp.
"""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from quant.blocks import compiled_code, registry
from quant.blocks.registry import Kernel
from quant.gguf.types import TensorType

_log = logging.getLogger(__name__)

# A core of a common machine gains about 100 seconds per 2**30 weights, least for Q6_K (40).
_PAYS_TO_LOAD = 1 << 25
_PAYS_TO_COMPILE = 1 << 28

# Elsewhere compilers fuse multiplications and additions: there llama.cpp's bytes are not these.
_NEVER_FUSED = {"x86_64", "AMD64"}

_PACKAGE_ROOT = Path(__file__).resolve().parents[2]


@contextlib.contextmanager
def lane_kernels(
    n_weights: Mapping[tuple[TensorType, bool], int], directory: Path | None
) -> Iterator[None]:
    """While the block runs, fetch the kernels that pay for themselves.

    `n_weights`: how many weights become each type, with importance weights (True) or without.
    `directory`: below it compiled code is kept; None means beside the sources.
    """
    amounts = _work_by_kernel(n_weights)
    if not amounts or platform.machine() not in _NEVER_FUSED:
        yield
        return
    preparation = _Preparation(amounts, directory)
    try:
        yield
    finally:
        preparation.stop()


def _work_by_kernel(n_weights: Mapping[tuple[TensorType, bool], int]) -> Mapping[Kernel, int]:
    """Weights by kernel, most work first, without kernels that are not worth loading."""
    amounts: Counter[Kernel] = Counter()
    for (tensor_type, is_weighted), n_here in n_weights.items():
        kernel = registry.kernel_for(tensor_type, is_weighted=is_weighted)
        if kernel is not None:
            amounts[kernel] += n_here
    return {kernel: n_here for kernel, n_here in amounts.most_common() if n_here >= _PAYS_TO_LOAD}


class _Preparation:
    """A thread that loads kernels, from the disk or as soon as a child has compiled them."""

    def __init__(self, amounts: Mapping[Kernel, int], directory: Path | None) -> None:
        self._amounts = amounts
        self._directory = directory
        self._lock = threading.Lock()
        self._is_stopped = False
        self._child: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._run, name="kernels", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the child, if it still compiles, and the thread. A load under way is waited for."""
        with self._lock:
            self._is_stopped = True
            if self._child is not None:
                self._child.kill()
        self._thread.join()

    def _run(self) -> None:
        try:
            folder = compiled_code.keep_below(self._directory)
            missing = []
            for kernel, n_weights in self._amounts.items():
                if compiled_code.is_complete(folder, kernel):
                    self._load(kernel)
                elif n_weights >= _PAYS_TO_COMPILE:
                    missing.append(kernel)
            self._compile(missing)
        except Exception as exc:  # noqa: BLE001 - llama.cpp does it, whatever a compiler complains of
            _log.info("no lane kernels: %s", exc)

    def _load(self, kernel: Kernel) -> None:
        if not self._is_stopped and not registry.load(kernel):
            _log.info("kernel %s differs from the llama.cpp at hand and is not used", kernel)

    def _compile(self, kernels: Sequence[Kernel]) -> None:
        with self._lock:
            if self._is_stopped or not kernels:
                return
            self._child = _start_child(self._directory, kernels)
        with self._child as child:
            for line in child.stdout or ():
                self._load(Kernel(line.strip()))


def _start_child(directory: Path | None, kernels: Sequence[Kernel]) -> subprocess.Popen[str]:
    environment = dict(os.environ)
    if _PACKAGE_ROOT.name not in {"site-packages", "dist-packages"}:
        environment["PYTHONPATH"] = str(_PACKAGE_ROOT)
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "quant.blocks.compile", str(directory or ""), *kernels],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )
