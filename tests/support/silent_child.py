"""A child process that never says READY."""

from __future__ import annotations

import sys

from localr1.worker.childside import enter

if __name__ == "__main__":
    try:
        enter(sys.argv).receive()
    except EOFError:
        sys.exit(0)
