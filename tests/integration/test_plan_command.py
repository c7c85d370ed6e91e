from __future__ import annotations

import json
from pathlib import Path

import pytest

from localr1.cli.main import run
from tests.support.gguf_dense import DenseShape, write_dense


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_dense(tmp_path / "model.gguf", DenseShape())


def test_plan_prints_a_table_and_succeeds(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", str(model)]) == 0

    printed = capsys.readouterr()
    assert "tiny qwen2" in printed.out
    assert "KV cache" in printed.out
    assert "fits" in printed.out


def test_plan_as_json_is_one_document(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", str(model), "--ctx", "1000", "--kv", "q8_0,q4_0", "--json"]) == 0

    document = json.loads(capsys.readouterr().out)
    assert document["request"]["n_ctx"] == 1024
    assert (document["request"]["type_k"], document["request"]["type_v"]) == ("q8_0", "q4_0")
    assert document["verdict"] == "fits"


def test_a_machine_that_is_not_here_is_planned_without_an_engine(
    model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("localr1.worker.host.Engine.start", lambda: pytest.fail("started"))

    assert run(["plan", str(model), "--on", "rtx-4090", "--on", "rtx-3060", "--json"]) == 0

    document = json.loads(capsys.readouterr().out)
    assert {device["name"] for device in document["devices"]} == {"rtx-4090", "rtx-3060"}
    lowest, highest = document["speed"]["decode_tokens_per_s"]
    assert 0 < lowest < highest
    assert document["speed"]["bound_by"]


def test_the_most_exact_cache_that_fits_is_picked(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["plan", str(model), "--ram", "64G", "--kv", "best", "--json"]) == 0

    assert json.loads(capsys.readouterr().out)["request"]["type_k"] == "f16"


def test_the_best_type_for_a_machine_is_named(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["plan", str(model), "--on", "rtx-4090", "--quant", "best", "--json"]) == 0

    document = json.loads(capsys.readouterr().out)
    assert document["model"]["quant"] == "Q8_0"
    assert any(notice.startswith("as Q8_0") for notice in document["notices"])


def test_profiles_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["devices", "--profiles"]) == 0
    listed = capsys.readouterr().out

    assert run(["devices", "--profiles", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)

    names = [profile["name"] for profile in document["profiles"]]
    assert {"rtx-4090", "m1-max-64gb", "pc-16gb"} <= set(names)
    assert all(name in listed for name in names)


def test_a_model_too_big_for_any_machine_gets_exit_code_4(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shape = DenseShape(n_layer=512, n_embd=16_384, n_head=64, head_dim=256, n_ff=65_536)
    model = write_dense(tmp_path / "huge.gguf", shape)

    assert run(["plan", str(model)]) == 4

    assert "does not fit" in capsys.readouterr().out


def test_a_file_that_was_cut_off_is_planned_with_a_remark(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with model.open("r+b") as file:
        file.truncate(model.stat().st_size - 1000)

    assert run(["plan", str(model)]) == 0

    assert "1000 bytes are missing" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["nothing.gguf"], 3, "nothing.gguf"),
        (["MODEL", "--ctx", "many"], 2, "--ctx many"),
        (["MODEL", "--kv", "q9"], 2, "q9"),
        (["MODEL", "--kv", "q4_0", "--flash-attn", "off"], 2, "flash attention"),
        (["MODEL", "--device", "CUDA7"], 3, "no device"),
        (["MODEL", "--on", "rtx-4900"], 2, "rtx-4090"),
        (["MODEL", "--ram", "16"], 2, "16 is no amount of memory"),
        (["MODEL", "--on", "rtx-4090", "--wired-limit", "9"], 2, "about Macs"),
    ],
)
def test_a_wrong_question_gets_one_line(
    model: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    exit_code: int,
    message: str,
) -> None:
    asked = [str(model) if word == "MODEL" else word for word in arguments]

    assert run(["plan", *asked]) == exit_code

    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert message in lines[0]


def test_a_checkpoint_instead_of_a_model_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"\x10\0\0\0\0\0\0\0" + b"{}" * 30)

    assert run(["plan", str(path)]) == 6

    assert "not a GGUF file" in capsys.readouterr().err


def test_what_is_published_in_one_type_is_planned_in_that(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["plan", "gpt-oss:20b", "--on", "rtx-4090", "--quant", "best", "--json"]) == 0

    plan = json.loads(capsys.readouterr().out)
    assert plan["model"]["quant"] == "MXFP4_MOE"
    assert "as MXFP4_MOE: it is published as MXFP4_MOE only" in plan["notices"]
