"""`localr1 convert` with its checks, from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from gguf import GGUFReader

from localr1.cli.main import run
from localr1.verify.fidelity import MEASURES
from localr1.verify.stamp import PREFIX
from quant.pipeline import convert
from tests.support.checkpoint_families import write_family
from tests.support.checkpoint_zoo import write_checkpoint
from tests.support.command_line import localr1
from tests.support.models import R1_NANO_CHECKPOINT


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_checkpoint("r1_nano", tmp_path)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "outputs" / "model.gguf"


def _result(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return result


def _give_the_tokenizer_what_llama_cpp_lacks(source: Path) -> None:
    """A token that counts only as a whole word; llama.cpp finds it inside words as well."""
    path = source / "tokenizer.json"
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    token = tokenizer["added_tokens"][0] | {"content": "oul", "single_word": True, "special": False}
    tokenizer["added_tokens"].append(token | {"id": 1023})
    path.write_text(json.dumps(tokenizer), encoding="utf-8")


@pytest.fixture(scope="module")
def verified(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """r1-nano, converted with all checks: the file, and the `result` event."""
    home = tmp_path_factory.mktemp("verified")
    output = home / "outputs" / "model.gguf"
    done = localr1("convert", R1_NANO_CHECKPOINT, "-o", output, "--json", home=home)
    assert done.code == 0, done.stderr
    return output, json.loads(done.stdout.splitlines()[-1])


def test_numbers_stand_in_the_result_and_in_the_files_own_metadata(
    verified: tuple[Path, dict[str, Any]],
) -> None:
    output, result = verified

    fidelity = result["fidelity"]
    fields = GGUFReader(output).fields
    assert fidelity["verdict"] == "pass"
    assert 0.05 < fidelity["kl_divergence"] < 0.2
    assert fidelity["checked_share"] == 1.0
    for name in MEASURES:
        assert fields[PREFIX + name].parts[-1][0] == pytest.approx(fidelity[name])
    assert result["tokenizer"]["n_different"] == 0
    assert result["tokenizer"]["n_texts"] > 2000
    assert list(output.parent.iterdir()) == [output]


def test_people_get_one_line(
    source: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["convert", str(source), "-o", str(output)])

    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("fidelity: pass; KL divergence 0.1")


def test_without_verification_the_file_is_llama_cpps_to_the_byte(
    source: Path, output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["convert", str(source), "-o", str(output), "--no-verify", "--json"])

    convert(source, tmp_path / "library.gguf")
    assert output.read_bytes() == (tmp_path / "library.gguf").read_bytes()
    assert _result(capsys)["fidelity"] is None


def test_verification_changes_nothing_but_its_own_keys(
    verified: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    output, _ = verified

    convert(R1_NANO_CHECKPOINT, tmp_path / "library.gguf")

    with_keys, without = GGUFReader(output), GGUFReader(tmp_path / "library.gguf")
    added = [name for name in with_keys.fields if name not in without.fields]
    assert all(name.startswith(PREFIX) for name in added)
    assert len(added) == len(MEASURES) + 2
    n_bytes = sum(int(tensor.n_bytes) for tensor in without.tensors)
    assert output.read_bytes()[-n_bytes:] == (tmp_path / "library.gguf").read_bytes()[-n_bytes:]


def test_a_dry_run_knows_the_size_with_the_keys(
    verified: tuple[Path, dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    output, _ = verified

    run(["convert", str(R1_NANO_CHECKPOINT), "-o", str(output), "--dry-run", "--json"])

    assert json.loads(capsys.readouterr().out)["bytes"] == output.stat().st_size


def test_weights_that_stay_as_they_are_need_no_predictions(
    source: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["convert", str(source), "-q", "F32", "-o", str(output), "--json"])

    fidelity = _result(capsys)["fidelity"]
    assert fidelity["verdict"] == "pass"
    assert fidelity["reason"] == "every weight is the source's own"
    assert fidelity["tensor_error_max"] == 0


def test_a_tokenizer_that_would_differ_stops_everything(
    source: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _give_the_tokenizer_what_llama_cpp_lacks(source)

    code = run(["convert", str(source), "-o", str(output), "--json"])

    document = json.loads(capsys.readouterr().out)
    assert code == 6
    assert document["code"] == "tokenizer_differs"
    assert not output.parent.exists()


def test_force_accepts_a_tokenizer_that_differs_and_says_so(
    source: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _give_the_tokenizer_what_llama_cpp_lacks(source)

    code = run(["convert", str(source), "-o", str(output), "--force", "--no-verify"])

    assert code == 0
    assert output.is_file()
    notice, _ = capsys.readouterr().err.splitlines()
    assert notice.startswith("the GGUF would encode ")
    assert notice.endswith("; went on because of --force")


@pytest.mark.parametrize("family", ["granite", "mixtral"])
def test_random_weights_do_not_fail(
    family: str, tmp_path: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_family(family, tmp_path)

    code = run(["convert", str(source), "-q", "Q4_0", "-o", str(output), "--json"])

    assert code == 0
    assert _result(capsys)["fidelity"]["verdict"] in {"pass", "unclear"}
