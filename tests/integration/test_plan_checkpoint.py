"""`plan` of a checkpoint that is not converted yet: on the disk, or on a hub."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from localr1.cli.main import run
from quant.pipeline import convert
from tests.support.hub_checkpoints import hub_with, sharded_checkpoint
from tests.support.hub_server import serving

_HERE = ("--on", "pc-16gb")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sharded_checkpoint(tmp_path_factory.mktemp("sources"), n_shards=3)


@pytest.fixture(scope="module")
def converted(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("converted") / "model.gguf"
    convert(checkpoint, output, file_type="Q4_K_S")
    return output


@pytest.fixture
def places(checkpoint: Path, converted: Path, tmp_path: Path) -> dict[str, Path]:
    return {"checkpoint": checkpoint, "converted": converted, "empty": tmp_path}


def _plan(*arguments: str | Path) -> int:
    return run(["plan", "--json", *_HERE, *map(str, arguments)])


def _sizes(printed: str) -> dict[str, Any]:
    document = json.loads(printed)
    host = {key: n for key, n in document["host"].items() if key.endswith("_bytes")}
    return {"file": document["model"]["file_bytes"], "quant": document["model"]["quant"], **host}


def test_a_checkpoint_is_planned_as_the_file_it_would_become(
    checkpoint: Path, converted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _plan(converted) == 0
    of_file = _sizes(capsys.readouterr().out)

    assert _plan(checkpoint, "--quant", "Q4_K_S") == 0

    assert _sizes(capsys.readouterr().out) == of_file


def test_config_and_tokenizer_are_enough(
    checkpoint: Path, converted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    without_weights = tmp_path / checkpoint.name
    shutil.copytree(checkpoint, without_weights, ignore=shutil.ignore_patterns("*.safetensors*"))
    assert _plan(converted) == 0
    of_file = _sizes(capsys.readouterr().out)

    assert _plan(without_weights / "config.json", "--quant", "Q4_K_S") == 0

    assert _sizes(capsys.readouterr().out) == of_file


def test_a_repository_is_planned_without_its_weights(
    checkpoint: Path,
    converted: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert _plan(converted) == 0
    of_file = _sizes(capsys.readouterr().out)
    weights_bytes = sum(path.stat().st_size for path in checkpoint.glob("*.safetensors"))

    with serving(hub_with(checkpoint)) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        monkeypatch.setenv("LOCALR1_HOME", str(tmp_path / "home"))
        assert _plan("someone/odd-rows", "--quant", "Q4_K_S") == 0

    assert _sizes(capsys.readouterr().out) == of_file
    fetched = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert fetched < weights_bytes / 2


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["{checkpoint}", "--quant", "q9"], 2, "known are F32"),
        (["{converted}", "--quant", "q8_0"], 2, "localr1 convert"),
        (["someone/else", "--offline"], 5, "needs the network"),
        (["{empty}"], 6, "config.json"),
    ],
)
def test_what_cannot_be_planned_is_one_line(
    arguments: list[str],
    code: int,
    says: str,
    places: dict[str, Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert _plan(*(text.format(**places) for text in arguments)) == code

    printed = capsys.readouterr().err
    assert says in printed
    assert printed.count("\n") == 1
