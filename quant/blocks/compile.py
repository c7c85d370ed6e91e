"""Owns the child process that compiles kernels: `python -m quant.blocks.compile FOLDER KERNEL...`.

A process of its own, because numba holds the interpreter lock while it compiles and cannot be
stopped. One line on stdout per kernel that is on the disk. It ends when its parent does: nothing
ever comes through stdin, but its end.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from quant.blocks import compiled_code, registry


def main(directory: str, kernels: list[str]) -> None:
    """Compile `kernels` in order, into the folder for compiled code below `directory`."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    folder = compiled_code.keep_below(Path(directory) if directory else None)
    for kernel in kernels:
        registry.load(registry.Kernel(kernel))
        compiled_code.mark_complete(folder, kernel)
        print(kernel, flush=True)  # noqa: T201 - read by the parent


def _end_with_parent() -> None:
    os.read(sys.stdin.fileno(), 1)  # sys.stdin.read would hold a lock that a normal end waits for
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
