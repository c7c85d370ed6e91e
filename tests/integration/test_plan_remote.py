"""`plan user/repo:QUANT`: the plan of a GGUF on a hub, from its header alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from localr1.cli.main import run
from quant.pipeline import convert
from tests.support.hub_server import FakeHub, serving

_SOURCE = Path(__file__).parents[2] / "localr1" / "demo" / "r1-nano"
_HERE = ("--on", "pc-16gb")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("models")
    convert(_SOURCE, directory / "nano-Q4_K_M.gguf")
    convert(_SOURCE, directory / "nano.Q8_0.gguf", file_type="Q8_0", split_bytes=2_000_000)
    (directory / "mmproj-nano-F16.gguf").write_bytes(b"GGUF no model")
    return directory


@pytest.fixture
def hub(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    files = {path.name: path.read_bytes() for path in models.iterdir()}
    with serving(FakeHub(files, name="someone/nano-GGUF")) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.endpoint)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        monkeypatch.setenv("LOCALR1_HOME", str(tmp_path / "home"))
        yield running


def _plan(model: str | Path, capsys: pytest.CaptureFixture[str], *options: str) -> Any:
    assert run(["plan", "--json", *_HERE, *options, str(model)]) == 0
    document = json.loads(capsys.readouterr().out)
    return {key: document[key] for key in ("model", "devices", "host", "max_ctx")}


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("someone/nano-GGUF", "nano-Q4_K_M.gguf"),
        ("hf.co/someone/nano-GGUF:q4_k_m", "nano-Q4_K_M.gguf"),
        ("someone/nano-GGUF:Q8_0", "nano.Q8_0-00001-of-00003.gguf"),
    ],
)
def test_the_header_alone_gives_the_plan_of_the_file(
    name: str, file: str, models: Path, hub: FakeHub, capsys: pytest.CaptureFixture[str]
) -> None:
    of_file = _plan(models / file, capsys)

    assert _plan(name, capsys) == of_file

    n_parts = 3 if "00001" in file else 1
    assert len(hub.asked("/resolve/")) <= 2 * n_parts  # each may be sent on to another address


@pytest.mark.parametrize("name", ["someone/nano-GGUF", "someone/nano-GGUF:Q8_0"])
def test_the_tokens_of_a_document_are_counted_by_the_vocabulary_in_a_header(
    name: str, models: Path, hub: FakeHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("12 + 8 * 3 = 36\n" * 10, encoding="utf-8")
    costs = []
    for model in (name, str(models / "nano-Q4_K_M.gguf")):
        assert run(["plan", "--json", *_HERE, "--document", str(text), model]) == 0
        costs.append(json.loads(capsys.readouterr().out)["document"])

    assert not costs[0]["is_estimate"]
    assert costs[0]["n_tokens"] == costs[1]["n_tokens"]


def test_a_header_is_asked_for_once(hub: FakeHub, capsys: pytest.CaptureFixture[str]) -> None:
    first = _plan("someone/nano-GGUF", capsys)
    n_requests = len(hub.asked("/resolve/"))

    assert _plan("someone/nano-GGUF", capsys) == first
    assert len(hub.asked("/resolve/")) == n_requests


def test_a_kept_header_that_is_damaged_is_asked_for_again(
    hub: FakeHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = _plan("someone/nano-GGUF", capsys)
    (kept,) = (tmp_path / "home").rglob("nano-Q4_K_M.gguf")
    content = kept.read_bytes()
    kept.write_bytes(content[:40] + b"\xff" * 40 + content[80:])

    assert _plan("someone/nano-GGUF", capsys) == first
    assert kept.read_bytes() == content


def test_a_long_header_is_read_in_steps(
    hub: FakeHub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("localr1.hub.gguf_files._FIRST_READ_BYTES", 1000)

    assert _plan("someone/nano-GGUF", capsys)["model"]["quant"] == "Q4_K_M"

    ranges = [headers["range"] for headers in hub.asked("/resolve/") if "range" in headers]
    assert "bytes=0-999" in ranges
    assert max(int(text.rpartition("-")[2]) for text in ranges) < 1_000_000


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["someone/nano-GGUF:Q2_K"], 3, "it has Q4_K_M, Q8_0"),
        (["someone/nano-GGUF", "--offline"], 5, "needs the network"),
        (["someone/nothing"], 3, "someone/nothing"),
    ],
)
def test_what_is_not_there_is_one_line(
    arguments: list[str], code: int, says: str, hub: FakeHub, capsys: pytest.CaptureFixture[str]
) -> None:
    assert hub.endpoint
    assert run(["plan", "--json", *arguments]) == code

    printed = capsys.readouterr().err
    assert says in printed
    assert printed.count("\n") == 1


def test_a_damaged_remote_file_is_refused(hub: FakeHub, capsys: pytest.CaptureFixture[str]) -> None:
    hub.files = {"nano-Q4_K_M.gguf": b"GGUF\x03\0\0\0" + b"\xff" * 64}

    assert run(["plan", "someone/nano-GGUF", "--quiet"]) == 6

    assert capsys.readouterr().err.count("\n") == 1
