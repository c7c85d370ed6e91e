from __future__ import annotations

import json
from pathlib import Path

import pytest

from localr1.cli.main import run
from quant.blueprint import dry_run
from quant.errors import BadRequestError, UnsupportedError
from quant.gguf.key_values import KeyValues
from quant.gguf.types import TensorType
from quant.gguf.writer import TensorEntry
from quant.output.split import output_layout, parse_size
from quant.pipeline import ConvertProgress, convert
from tests.support.checkpoint_files import describe_gguf
from tests.support.checkpoint_zoo import write_checkpoint


def _tensors(*n_bytes: int) -> list[TensorEntry]:
    return [
        TensorEntry(f"t{number}", (size // 4,), TensorType.F32)
        for number, size in enumerate(n_bytes)
    ]


def _names(n_bytes: list[int], max_bytes: int | None, name: str = "model.gguf") -> list[str]:
    layout = output_layout(Path("/out") / name, KeyValues(), _tensors(*n_bytes), max_bytes)
    return [file.path.name for file in layout]


def test_files_are_numbered_as_llama_cpp_numbers_them() -> None:
    assert _names([64, 64, 64], 128) == ["model-00001-of-00002.gguf", "model-00002-of-00002.gguf"]


def test_one_file_that_will_do_keeps_the_plain_name() -> None:
    assert _names([64, 64, 64], 192) == ["model.gguf"]
    assert _names([64, 64, 64], None) == ["model.gguf"]


def test_a_tensor_above_the_limit_gets_a_file_of_its_own() -> None:
    assert len(_names([64, 640, 64], 128)) == 3
    assert len(_names([640, 64], 128)) == 2


def test_padding_counts(tmp_path: Path) -> None:
    assert len(_names([36, 36], 127)) == 2
    assert len(_names([36, 36], 128)) == 1


def test_another_ending_is_kept_in_the_name() -> None:
    assert _names([64, 64], 64, name="model")[0] == "model-00001-of-00002.gguf"


def test_more_files_than_the_format_can_count_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="70,000 files"):
        _names([32] * 70_000, 32)


@pytest.mark.parametrize(
    ("text", "n_bytes"), [("4G", 4 * 10**9), ("500m", 500 * 10**6), (" 2GB ", 2 * 10**9)]
)
def test_sizes_are_decimal(text: str, n_bytes: int) -> None:
    assert parse_size(text) == n_bytes


@pytest.mark.parametrize("text", ["", "4", "0G", "-1G", "4T", "4 G", "1.5G", "9" * 20 + "G"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(BadRequestError, match="is no size"):
        parse_size(text)


@pytest.fixture
def small_files(tmp_path: Path) -> list[Path]:
    source = write_checkpoint("qwen2_tied", tmp_path)
    convert(source, tmp_path / "one.gguf", file_type="Q8_0")
    result = convert(source, tmp_path / "out" / "m.gguf", file_type="Q8_0", split_bytes=400_000)
    files = sorted((tmp_path / "out").iterdir())
    assert result.output == files[0]
    assert result.n_files == len(files) > 5
    assert result.bytes_written == sum(path.stat().st_size for path in files)
    return files


def test_split_files_hold_together_what_one_file_holds(
    small_files: list[Path], tmp_path: Path
) -> None:
    whole = describe_gguf(tmp_path / "one.gguf")

    parts = [describe_gguf(path) for path in small_files]

    tensors = [item for part in parts for item in part["tensors"].items()]
    assert tensors == list(whole["tensors"].items())
    n_files, n_tensors = len(parts), len(tensors)
    for number, part in enumerate(parts):
        numbered = {
            "split.no": f"UINT16 {number}",
            "split.tensors.count": f"INT32 {n_tensors}",
            "split.count": f"UINT16 {n_files}",
        }
        assert part["metadata"] == (whole["metadata"] if number == 0 else {}) | numbered


def test_a_split_conversion_that_was_cut_short_goes_on(
    small_files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quant.output.files.MARK_EVERY_BYTES", 1)
    source, output = tmp_path / "qwen2-0.5b-chat", tmp_path / "again" / "m.gguf"

    def interrupt_late(progress: ConvertProgress) -> None:
        if progress.bytes_done > 0.8 * progress.bytes_total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(source, output, file_type="Q8_0", split_bytes=400_000, on_progress=interrupt_late)
    assert all(path.name.startswith(".") for path in output.parent.iterdir())

    result = convert(source, output, file_type="Q8_0", split_bytes=400_000)

    assert result.bytes_kept > 400_000
    assert sorted(path.name for path in output.parent.iterdir()) == [
        path.name for path in small_files
    ]
    for path in small_files:
        assert (output.parent / path.name).read_bytes() == path.read_bytes()


def test_an_existing_part_is_not_overwritten(tmp_path: Path) -> None:
    source = write_checkpoint("r1_nano", tmp_path)
    target = tmp_path / "m-00002-of-00007.gguf"
    target.write_text("precious")

    code = run(
        ["convert", str(source), "-q", "Q8_0", "--split", "1M", "-o", str(tmp_path / "m.gguf")]
    )

    assert code == 2
    assert target.read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == [target.name, "r1-nano"]


@pytest.mark.parametrize("kind", ["r1_nano", "llama3", "qwen2_tied", "odd_rows"])
@pytest.mark.parametrize("file_type", ["BF16", "Q4_K_M"])
@pytest.mark.parametrize("has_weights", [True, False])
def test_a_dry_run_tells_the_exact_size_and_writes_nothing(
    kind: str, file_type: str, has_weights: bool, tmp_path: Path
) -> None:
    source = write_checkpoint(kind, tmp_path)
    result = convert(source, tmp_path / "model.gguf", file_type=file_type)
    if not has_weights:
        for path in source.glob("model*"):
            path.unlink()
    before = sorted(tmp_path.rglob("*"))

    plan = dry_run(source, tmp_path / "other.gguf", file_type=file_type)

    assert plan.n_bytes == result.bytes_written == (tmp_path / "model.gguf").stat().st_size
    assert plan.tensor_types == result.tensor_types
    assert plan.n_params == result.n_params
    assert sorted(tmp_path.rglob("*")) == before


def test_a_dry_run_from_the_config_names_every_tensor_and_its_type(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_checkpoint("odd_rows", tmp_path)
    convert(source, tmp_path / "model.gguf")
    expected = describe_gguf(tmp_path / "model.gguf")["tensors"]
    (source / "model.safetensors").unlink()

    code = run(["convert", str(source / "config.json"), "--dry-run", "--json"])

    document = json.loads(capsys.readouterr().out)
    assert code == 0
    assert {tensor["name"]: tensor["type"] for tensor in document["tensors"]} == {
        name: description.split()[0] for name, description in expected.items()
    }


def test_a_dry_run_of_a_split_lists_the_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_checkpoint("r1_nano", tmp_path)
    arguments = ["convert", str(source), "-o", str(tmp_path / "m.gguf"), "--split", "2M"]

    run([*arguments, "--dry-run", "--json"])
    planned = json.loads(capsys.readouterr().out)["files"]
    run(arguments)

    assert len(planned) == 2
    assert [Path(file["path"]).stat().st_size for file in planned] == [
        file["bytes"] for file in planned
    ]
