"""What a quick command imports: a person who types --help should not wait for numpy."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

_HEAVY = (
    "numpy",
    "gguf",
    "textual",
    "huggingface_hub",
    "llama_cpp",
    "jinja2",
    "numba",
    "psutil",
    "pypdf",
)
_PROGRAM = """
import json, sys
from localr1.cli.main import run
code = run(sys.argv[1:])
sys.stderr.write("\\n" + json.dumps({"code": code, "modules": sorted(sys.modules)}))
"""


def _modules_after(*args: str) -> tuple[int, set[str]]:
    child = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *args], capture_output=True, text=True, check=True
    )
    report = json.loads(child.stderr.splitlines()[-1])
    return report["code"], set(report["modules"])


@pytest.mark.parametrize(
    "args",
    [["--help"], ["--version"], ["ask", "--help"], ["chat", "--help"], ["plan", "--help"]],
)
def test_help_imports_nothing_heavy(args: list[str]) -> None:
    code, modules = _modules_after(*args)

    assert code == 0
    assert modules.isdisjoint(_HEAVY)


def test_importing_a_package_imports_nothing_heavy() -> None:
    program = "import sys, localr1, quant, backends, tui; print(*sys.modules)"

    child = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert set(child.stdout.split()).isdisjoint(_HEAVY)
