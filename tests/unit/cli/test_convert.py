from __future__ import annotations

import json
from pathlib import Path

import pytest

from localr1.cli.main import run
from tests.support.checkpoint_zoo import write_checkpoint

_STAGES = [("convert", "bytes"), ("tensors", "weights"), ("source", "bytes"), ("predictions", "")]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_checkpoint("odd_rows", tmp_path / "sources")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "here"
    directory.mkdir()
    monkeypatch.chdir(directory)
    return directory


def test_the_output_is_named_after_source_and_type_in_the_current_directory(
    source: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(["convert", f"{source}/", "--no-verify"])

    assert code == 0
    assert [path.name for path in here.iterdir()] == ["odd rows-Q4_K_M.gguf"]
    captured = capsys.readouterr()
    assert captured.out == f"{here}/odd rows-Q4_K_M.gguf\n"
    assert captured.err.startswith("qwen2, ")


def test_a_weights_file_means_its_directory(source: Path, here: Path) -> None:
    code = run(["convert", str(source / "model.safetensors"), "-q", "q8_0", "--no-verify"])

    assert code == 0
    assert (here / "odd rows-Q8_0.gguf").is_file()


def test_a_relative_source_is_named_as_the_directory_it_is(
    source: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(source)

    code = run(["convert", ".", "-q", "F16", "-o", str(here), "--no-verify"])

    assert code == 0
    assert (here / "odd rows-F16.gguf").is_file()


def test_an_output_directory_that_does_not_exist_is_made(source: Path, here: Path) -> None:
    code = run(["convert", str(source), "-q", "bf16", "-o", "new/deep/model.gguf", "--no-verify"])

    assert code == 0
    assert (here / "new" / "deep" / "model.gguf").is_file()


def test_an_existing_output_needs_force(
    source: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "model.gguf").write_text("precious")
    command = ["convert", str(source), "-q", "Q8_0", "-o", "model.gguf", "--no-verify"]

    refused = run(command)
    capsys.readouterr()
    forced = run([*command, "--force"])

    assert refused == 2
    assert forced == 0
    assert (here / "model.gguf").read_bytes().startswith(b"GGUF")


def test_json_is_one_document_a_line_and_ends_with_the_result(
    source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(["convert", str(source), "--json"])

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert code == 0
    assert all(line["type"] == "progress" for line in lines[:-1])
    assert {"stage", "done", "total", "unit", "t"} <= set.intersection(*map(set, lines[:-1]))
    ends = [line for line in lines[:-1] if line["done"] == line["total"]]
    assert [(line["stage"], line["unit"]) for line in ends] == _STAGES
    assert [line["t"] for line in lines] == sorted(line["t"] for line in lines)
    result = lines[-1]
    assert result["type"] == "result"
    assert result["bytes_written"] == Path(result["output"]).stat().st_size
    assert sum(result["tensor_types"].values()) == result["n_tensors"] == 51
    assert result["file_type"] == "Q4_K_M"


def test_a_refusal_as_json_carries_code_and_message(
    capsys: pytest.CaptureFixture[str], here: Path
) -> None:
    code = run(["convert", str(here / "nowhere"), "--json"])

    document = json.loads(capsys.readouterr().out)
    assert code == 3
    assert document["type"] == "error"
    assert document["code"] == "not_found"


@pytest.mark.parametrize(
    ("arguments", "code"), [(["-q", "Q3_XXL"], 2), (["--threads", "0"], 2), (["--nonsense"], 2)]
)
def test_what_makes_no_sense_is_refused_in_one_line(
    arguments: list[str], code: int, source: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["convert", str(source), *arguments]) == code

    assert capsys.readouterr().err.count("\n") == 1
    assert list(here.iterdir()) == []


def test_one_thread_and_many_write_the_same_bytes(source: Path, here: Path) -> None:
    run(["convert", str(source), "-o", "one.gguf", "--threads", "1", "--no-verify"])
    run(["convert", str(source), "-o", "many.gguf", "--threads", "7", "--no-verify"])

    assert (here / "one.gguf").read_bytes() == (here / "many.gguf").read_bytes()


def test_types_by_name_are_in_the_plan(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    types = ["--tensor-type", r"blk\.1\.attn=F16", "--tensor-type", "attn_v=Q8_0"]

    code = run(["convert", str(source), "--dry-run", "--json", *types])

    plan = json.loads(capsys.readouterr().out)
    chosen = {tensor["name"]: tensor["type"] for tensor in plan["tensors"]}
    assert code == 0
    assert chosen["blk.1.attn_v.weight"] == "F16"
    assert chosen["blk.2.attn_v.weight"] == "Q8_0"
    assert chosen["blk.2.attn_k.weight"] == "Q5_0"


@pytest.mark.parametrize("override", ["attn_v", "(=F16", "attn_v=Q9_9", "attn_v=Q6_K", "xyz=F16"])
def test_a_type_by_name_that_cannot_be_is_refused_in_one_line(
    override: str, source: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["convert", str(source), "--tensor-type", override]) == 2

    assert capsys.readouterr().err.count("\n") == 1
    assert list(here.iterdir()) == []


def test_a_gguf_is_a_source_and_lends_its_name_without_the_type(source: Path, here: Path) -> None:
    run(["convert", str(source), "-q", "BF16", "-o", "model-bf16.gguf", "--no-verify"])

    code = run(["convert", "model-bf16.gguf", "-q", "Q8_0", "--no-verify"])

    assert code == 0
    assert (here / "model-Q8_0.gguf").is_file()
