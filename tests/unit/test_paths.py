from __future__ import annotations

from pathlib import Path

import pytest

from localr1.cli.main import run
from localr1.errors import UsageError
from localr1.paths import output_path, typed_path


def test_a_tilde_is_home_even_if_no_shell_expanded_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))

    assert typed_path("~/a b") == tmp_path / "a b"


@pytest.mark.parametrize("text", ["", "~no-such-user/model", "x" * 300])
def test_what_can_be_no_path_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        typed_path(text)


@pytest.mark.parametrize(
    "argv",
    [
        ["convert", ""],
        ["convert", "~no-such-user/model"],
        ["convert", "x" * 300],
        ["ask", "x" * 300, "hello"],
        ["ask", "~no-such-user/model", "hello"],
        ["plan", "x" * 300],
        ["plan", "~no-such-user/model"],
    ],
)
def test_a_path_that_cannot_be_is_a_usage_error_of_one_line(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(argv) == 2

    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (None, "model.gguf"),
        ("there", "there/model.gguf"),
        ("there/", "there/model.gguf"),
        ("new/", "new/model.gguf"),
        ("new", "new"),
        ("there/other.gguf", "there/other.gguf"),
    ],
)
def test_an_output_goes_into_a_directory_that_is_there_or_is_written_as_one(
    target: str | None, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()

    assert output_path(target, "model.gguf") == Path(expected)
