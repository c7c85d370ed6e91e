"""`python -m localr1` and the `localr1` command: hands over to the command line."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line and return its exit code."""
    from localr1.cli.main import run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
