"""`plan family:size`: a model that is nowhere near, without a network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from localr1.cli.main import run
from tests.support.gguf_dense import DenseShape, write_dense


def test_a_name_is_planned_with_neither_file_nor_network(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.socket.connect", lambda *_args: pytest.fail("connected"))

    assert run(["plan", "deepseek-r1:70b", "--on", "m1-max-64gb", "--json"]) == 0

    document = json.loads(capsys.readouterr().out)
    assert document["model"]["quant"] == "Q4_K_M"
    assert document["model"]["n_params"] == 70_553_706_496
    assert any("Llama-3.3-70B-Instruct distilled" in notice for notice in document["notices"])


@pytest.mark.parametrize(
    "arguments", [["deepseek-r1:7b-q6_K"], ["deepseek-r1:7b", "--quant", "q6_k"]]
)
def test_the_type_is_part_of_the_name_or_an_option(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["plan", *arguments, "--ram", "64G", "--json"]) == 0

    assert json.loads(capsys.readouterr().out)["model"]["quant"] == "Q6_K"


def test_a_model_that_comes_in_one_type_is_planned_in_that(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["plan", "gpt-oss:20b", "--on", "rtx-4090", "--json"]) == 0

    assert json.loads(capsys.readouterr().out)["model"]["quant"] == "MXFP4_MOE"


def test_a_70b_on_a_24_gb_card_needs_help(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--on", "rtx-4090", "--ram", "64G", "--json"]

    assert run(["plan", "deepseek-r1:32b", "--ctx", "4096", *arguments]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "fits"
    assert run(["plan", "deepseek-r1:70b", "--ctx", "4096", *arguments]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "fits_with_offload"


def test_a_path_goes_before_a_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_dense(tmp_path / "deepseek-r1:7b", DenseShape())
    monkeypatch.chdir(tmp_path)

    assert run(["plan", "deepseek-r1:7b", "--ram", "16G", "--json"]) == 0

    assert json.loads(capsys.readouterr().out)["model"]["name"] == "tiny qwen2"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["plan", "deepseek-r1:13b"], 3, "deepseek-r1:14b"),
        (["plan", "deepseek-r1"], 3, "deepseek-r1:1.5b"),
        (["plan", "deepseek-r1:7b-q9"], 2, "Q9"),
        (["plan", "gpt-oss:20b", "--quant", "Q4_0"], 2, "MXFP4_MOE only"),
        (["ask", "qwen3:8b", "hello"], 3, "localr1 convert Qwen/Qwen3-8B"),
        (["chat", "--plain", "qwen3:88b"], 3, "qwen3:8b"),
    ],
)
def test_what_cannot_be_done_is_one_line_that_says_what_to_do(
    arguments: list[str], code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == code

    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
