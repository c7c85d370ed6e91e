"""`localr1 verify`: a check that was cut short or left out, made up for without converting."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from gguf import GGUFReader

from localr1.cli.main import run
from localr1.verify.fidelity import MEASURES
from localr1.verify.stamp import NOT_MEASURED, PREFIX, reserved_keys
from quant.gguf.types import FileType
from quant.pipeline import convert
from tests.support.checkpoint_families import write_family
from tests.support.checkpoint_llama import llama_quantise
from tests.support.checkpoint_zoo import write_checkpoint
from tests.support.models import R1_NANO_CHECKPOINT


@pytest.fixture(scope="module")
def never_checked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """r1-nano as it is left by a conversion whose check was killed."""
    output = tmp_path_factory.mktemp("converted") / "model.gguf"
    convert(R1_NANO_CHECKPOINT, output, notes=reserved_keys())
    return output


@pytest.fixture
def gguf(never_checked: Path, tmp_path: Path) -> Path:
    return Path(shutil.copyfile(never_checked, tmp_path / "model.gguf"))


def _verify(gguf: Path, source: Path, *options: str) -> int:
    return run(["verify", str(gguf), "--source", str(source), *options])


def _documents(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def _measured(gguf: Path) -> dict[str, float]:
    fields = GGUFReader(gguf).fields
    return {name: float(fields[PREFIX + name].parts[-1][0]) for name in MEASURES}


def test_a_check_that_was_killed_is_made_up_for(
    gguf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (gguf.parent / ".model.source").mkdir()
    (gguf.parent / ".model.source" / "source.gguf").write_bytes(b"left by the one that was killed")

    code = _verify(gguf, R1_NANO_CHECKPOINT, "--json")

    *progress, result = _documents(capsys)
    assert code == 0
    assert {event["type"] for event in progress} == {"progress"}
    assert {event["stage"] for event in progress} == {"tensors", "source", "predictions"}
    assert result["type"] == "result"
    assert result["fidelity"]["verdict"] == "pass"
    assert result["not_recorded"] == ""
    measured = {name: result["fidelity"][name] for name in MEASURES}
    assert _measured(gguf) == pytest.approx(measured)
    assert list(gguf.parent.iterdir()) == [gguf]


def test_it_finds_what_the_conversion_found(
    gguf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    converted = tmp_path / "at-once.gguf"
    run(["convert", str(R1_NANO_CHECKPOINT), "-o", str(converted), "--json"])
    at_once = _documents(capsys)[-1]["fidelity"]

    _verify(gguf, R1_NANO_CHECKPOINT, "--json")

    assert _documents(capsys)[-1]["fidelity"] == at_once
    assert gguf.read_bytes() == converted.read_bytes()


def test_a_file_without_room_for_the_numbers_stays_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_family("qwen3", tmp_path)
    convert(source, tmp_path / "plain.gguf", file_type="BF16")
    theirs = tmp_path / "theirs.gguf"
    llama_quantise(tmp_path / "plain.gguf", theirs, FileType.Q4_K_M)
    content = theirs.read_bytes()

    code = _verify(theirs, source)

    captured = capsys.readouterr()
    assert code == 0
    assert captured.out.startswith("fidelity: ")
    assert "no keys for them" in captured.err
    assert theirs.read_bytes() == content


def test_parts_are_checked_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = convert(R1_NANO_CHECKPOINT, tmp_path / "model.gguf", split_bytes=10**6).output

    assert _verify(first, R1_NANO_CHECKPOINT, "--json") == 0

    assert _documents(capsys)[-1]["fidelity"]["checked_share"] == 1.0


def test_a_damaged_file_is_named_and_stays_where_it_is(
    gguf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = bytearray(gguf.read_bytes())
    (tensor,) = (t for t in GGUFReader(gguf).tensors if t.name == "blk.3.ffn_up.weight")
    start = int(tensor.data_offset)
    data[start : start + int(tensor.n_bytes)] = bytes(int(tensor.n_bytes))
    gguf.write_bytes(data)

    code = _verify(gguf, R1_NANO_CHECKPOINT, "--json")

    error = _documents(capsys)[-1]
    assert code == 6
    assert error["code"] == "output_damaged"
    assert "blk.3.ffn_up.weight" in error["message"]
    assert list(gguf.parent.iterdir()) == [gguf]
    assert set(_measured(gguf).values()) == {NOT_MEASURED}


def test_another_source_than_the_recorded_one_is_refused(
    gguf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _verify(gguf, R1_NANO_CHECKPOINT)
    other = write_checkpoint("r1_nano", tmp_path / "other")
    weights = other / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-2000:] = bytes(2000)
    weights.write_bytes(data)
    capsys.readouterr()

    assert _verify(gguf, other) == 6

    assert "was made from another source" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("gguf_name", "source_name", "code"),
    [
        ("nowhere.gguf", "r1_nano", 3),
        ("model.gguf", "nowhere", 3),
        ("model.gguf", "odd rows", 6),
        ("text.txt", "r1_nano", 6),
        ("model.gguf", "model.gguf", 2),
    ],
)
def test_what_cannot_be_compared_is_one_line(
    gguf_name: str,
    source_name: str,
    code: int,
    *,
    gguf: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_checkpoint("odd_rows", tmp_path)
    (tmp_path / "r1_nano").symlink_to(R1_NANO_CHECKPOINT)
    (tmp_path / "text.txt").write_text("this is no model, only text that is long enough to be one")

    assert _verify(tmp_path / gguf_name, tmp_path / source_name) == code

    assert capsys.readouterr().err.count("\n") == 1
