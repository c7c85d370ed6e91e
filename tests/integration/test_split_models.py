"""Models in several files: planned, loaded and asked by their first one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from localr1.cli.main import run
from quant.errors import BadRequestError, SourceNotFoundError
from quant.gguf.header import read_header
from quant.gguf.parts import read_model_header
from quant.pipeline import convert
from tests.support.command_line import localr1

_SOURCE = Path(__file__).parents[2] / "localr1" / "demo" / "r1-nano"


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    directory = tmp_path_factory.mktemp("parts")
    convert(_SOURCE, directory / "nano.gguf", file_type="Q8_0", split_bytes=2_000_000)
    found = sorted(directory.glob("*.gguf"))
    assert len(found) > 2
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("whole") / "nano.gguf"
    convert(_SOURCE, output, file_type="Q8_0")
    return output


def _plan(path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    assert run(["plan", str(path), "--ctx", "1024", "--on", "pc-16gb", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_header_is_that_of_the_whole_model(parts: list[Path], whole: Path) -> None:
    joined = read_model_header(parts[0])

    assert {(tensor.name, tensor.dims, tensor.n_bytes) for tensor in joined.tensors} == {
        (tensor.name, tensor.dims, tensor.n_bytes) for tensor in read_header(whole).tensors
    }
    assert joined.missing_bytes == 0


def test_a_split_model_is_planned_and_answers(
    parts: list[Path], whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _plan(parts[0], capsys)["verdict"] == "fits"

    question = ("What is 2+3?", "--temp", "0")
    of_parts = localr1("ask", parts[0], *question, home=tmp_path)
    of_whole = localr1("ask", whole, *question, home=tmp_path)

    assert of_parts.code == 0
    assert (of_parts.code, of_parts.stdout) == (of_whole.code, of_whole.stdout)


def test_another_part_than_the_first_is_refused(parts: list[Path]) -> None:
    with pytest.raises(BadRequestError, match="is part 2 of 3") as caught:
        read_model_header(parts[1])

    assert caught.value.hint == "give the first part"


def test_a_part_that_is_missing_is_named(parts: list[Path], tmp_path: Path) -> None:
    for part in parts[:-1]:
        (tmp_path / part.name).write_bytes(part.read_bytes())

    with pytest.raises(SourceNotFoundError, match=parts[-1].name):
        read_model_header(tmp_path / parts[0].name)
