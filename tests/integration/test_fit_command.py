"""`localr1 fit`: which models run on a machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from localr1.catalogue.entry import entries
from localr1.cli.main import run
from tests.support.gguf_dense import DenseShape, write_dense


def test_every_model_is_in_the_json_the_useful_ones_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.socket.connect", lambda *_args: pytest.fail("connected"))
    file = str(write_dense(tmp_path / "mine.gguf", DenseShape()))

    assert run(["fit", file, "--on", "rtx-4090", "--json"]) == 0

    models = json.loads(capsys.readouterr().out)["models"]
    assert {model["name"] for model in models} == {file, *entries()}
    verdicts = [model["verdict"] for model in models]
    assert list(dict.fromkeys(verdicts)) == ["fits", "fits_with_offload", "does_not_fit"]
    assert models[0]["name"] == "seed-oss:36b"
    assert "deepseek-r1:671b" in {m["name"] for m in models if m["verdict"] == "does_not_fit"}


def test_people_get_a_table_and_the_names_of_what_is_too_big(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["fit", "--ram", "16G", "--bandwidth", "80"]) == 0

    heading, *lines = capsys.readouterr().out.splitlines()
    assert heading.split()[:3] == ["MODEL", "SIZE", "TYPE"]
    (row,) = [line for line in lines if line.startswith("deepseek-r1:1.5b ")]
    assert "Q8_0" in row
    (too_big,) = [line for line in lines if line.startswith("too big: ")]
    assert "deepseek-r1:70b" in too_big


def test_the_exit_code_says_that_nothing_fits(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["fit", "--ram", "64M"]) == 4

    assert capsys.readouterr().out.strip().startswith("too big: ")


def test_a_file_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["fit", "nothing.gguf", "--ram", "16G"]) == 3

    (line,) = capsys.readouterr().err.splitlines()
    assert "nothing.gguf" in line


def test_a_cache_type_that_some_models_cannot_have_leaves_those_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["fit", "--ram", "64G", "--kv", "q8_0,q4_0", "--json"]) == 0

    document = json.loads(capsys.readouterr().out)
    assert "deepseek-v2-lite:16b" not in {model["name"] for model in document["models"]}
    assert any("deepseek-v2-lite:16b" in notice for notice in document["notices"])
