"""The rules of CONTRIBUTING.md that a machine can check."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_MAX_LINES = 300
_FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
_UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|NotImplemented" r"Error)\b")


def _tracked(*patterns: str) -> list[Path]:
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *patterns],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    paths = [_ROOT / name for name in listing.stdout.split("\0") if name]
    return [path for path in paths if path.exists()]


if not (_ROOT / ".git").exists():
    pytest.skip("not a git checkout: nothing to list", allow_module_level=True)

_SOURCES = _tracked("*.py")


@pytest.mark.parametrize("path", _SOURCES, ids=lambda path: str(path.relative_to(_ROOT)))
def test_file_is_short_named_and_explained(path: Path) -> None:
    text = path.read_text(encoding="utf-8")

    assert len(text.splitlines()) <= _MAX_LINES
    assert path.stem not in _FORBIDDEN_NAMES
    assert _UNFINISHED.search(text) is None
    if "tests" not in path.parts:
        assert ast.get_docstring(ast.parse(text))


def test_readme_is_short() -> None:
    readme = (_ROOT / "README.md").read_text(encoding="utf-8")

    assert len(readme.splitlines()) <= 170


def test_no_address_of_a_registry_is_committed() -> None:
    registry = re.compile(r"://[\w.-]+/(simple|packages)/|files\.python" r"hosted")
    texts = _tracked("*.txt", "*.toml", "*.md", "*.py", "Makefile", ".ci/run")

    assert [path for path in texts if registry.search(path.read_text(encoding="utf-8"))] == []
