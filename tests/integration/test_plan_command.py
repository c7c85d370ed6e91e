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
