"""Owns where compiled kernels are kept on the disk, and which of them are known to be there.

numba keeps one file per function and takes a changed function for what it is, but not a changed
function that it calls; and it compiles silently where a file is missing. So everything lies below a
directory whose name stands for all sources, this processor and the compiler, and a mark there says
that a kernel is complete. Directories of older sources and compilers are removed.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import sys
from pathlib import Path

from quant.cache_folders import hold_folder, remove_old_folders

_PACKAGE = Path(__file__).parent
_N_KEPT = 3


@functools.cache
def keep_below(directory: Path | None) -> Path:
    """Tell numba to keep compiled code in a folder of its own below `directory`; returns it.

    None means beside the sources. One directory per process: functions remember the place that was
    set when they were defined.
    Raises: ImportError without numba.
    """
    import numba

    folder = (directory or _PACKAGE / "__pycache__") / f"kernels-{_digest()}"
    with contextlib.suppress(OSError):  # nothing can be kept there, which numba finds out, too
        hold_folder(folder, is_shared=True)  # as long as this process lives
        remove_old_folders(folder.parent.glob("kernels-*"), _N_KEPT)
    numba.config.CACHE_DIR = str(folder)
    return folder


def is_complete(folder: Path, kernel: str) -> bool:
    """Whether all of a kernel has been compiled into `folder` before."""
    return _mark(folder, kernel).exists()


def mark_complete(folder: Path, kernel: str) -> None:
    """Say that all of a kernel lies in `folder`. Raises: OSError."""
    _mark(folder, kernel).touch()


def _mark(folder: Path, kernel: str) -> Path:
    return folder / f"{kernel}.complete"


def _digest() -> str:
    import numba
    from llvmlite import binding

    digest = hashlib.sha256()
    for path in sorted(_PACKAGE.glob("*.py")):
        # numba looks at dates too
        digest.update(f"{path} {path.stat().st_mtime_ns}\n".encode() + path.read_bytes())
    processor = binding.get_host_cpu_name(), binding.get_host_cpu_features().flatten()
    digest.update(repr((numba.__version__, sys.version, processor)).encode())
    return digest.hexdigest()[:16]
