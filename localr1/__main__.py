"""`python -m localr1` and the `localr1` command: hands over to the command line."""

from __future__ import annotations

import sys

EXIT_INTERRUPTED = 130
"""As in `localr1.errors`, which would have to be imported first."""


def main() -> int:
    """Run the command line and return its exit code."""
    try:
        from localr1.cli.main import run
    except KeyboardInterrupt:  # too early for words
        return EXIT_INTERRUPTED
    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
