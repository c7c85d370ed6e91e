"""Owns the way of the embedded checkpoint into the user's cache, as a 4-bit GGUF.

The package ships r1-nano the way its makers publish models (safetensors), so that the demo runs
the same conversion as any other checkpoint. The result is kept; the second demo starts at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from localr1 import __version__
from localr1.settings import cache_dir
from quant.errors import OutputBusyError

CHECKPOINT = Path(__file__).parent / "r1-nano"
FILE_TYPE = "Q4_K_M"
_BUSY_S = 30.0


def demo_gguf(on_progress: Callable[[float, float], None] | None = None) -> Path:
    """Path of the converted model; `on_progress(bytes_done, bytes_total)` while it is made."""
    path = cache_dir() / f"r1-nano-{__version__}-{FILE_TYPE}.gguf"
    if not path.exists():
        from quant.pipeline import ConvertProgress, convert

        def report(progress: ConvertProgress) -> None:
            if on_progress is not None:
                on_progress(progress.bytes_done, progress.bytes_total)

        try:
            convert(CHECKPOINT, path, file_type=FILE_TYPE, on_progress=report, overwrite=True)
        except OutputBusyError:
            if not _appears(path):
                raise
    return path


def _appears(path: Path) -> bool:
    """Wait while another localr1 makes the same file, which takes it about a second."""
    deadline_s = time.monotonic() + _BUSY_S
    while not path.exists() and time.monotonic() < deadline_s:
        time.sleep(0.05)
    return path.exists()
