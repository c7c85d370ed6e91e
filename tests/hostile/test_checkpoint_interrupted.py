"""Conversions cut short: by the user, by a signal that cannot be caught, by a full disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from localr1.cli.main import run
from quant.pipeline import ConvertProgress, convert
from tests.support.checkpoint_zoo import write_checkpoint

_KILLED_ON_THE_WAY = """
import os, signal, sys
from pathlib import Path
from quant.pipeline import convert
convert(
    Path(sys.argv[1]), Path(sys.argv[2]), file_type="F16",
    on_progress=lambda progress: os.kill(os.getpid(), signal.SIGKILL),
)
"""

_WITH_ROOM_FOR_100_KB = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
from localr1.cli.main import run
sys.exit(run(["convert", sys.argv[1], "-o", sys.argv[2], "--no-verify"]))
"""

_WITH_ROOM_FOR_300_KB = _WITH_ROOM_FOR_100_KB.replace("100_000", "300_000")

_OFTEN_MARKED = """
from quant.output import files as output_files
output_files.MARK_EVERY_BYTES = 1000
"""

_TOLD_TO_TERMINATE = """
import os, signal, sys
from quant.output import files as output_files
from localr1.cli.main import run
mark, n_marks = output_files.OutputWriter.mark, 0
def told(self, *arguments):
    global n_marks
    mark(self, *arguments)
    self._await_flush()
    n_marks += 1
    if n_marks == 20:
        os.kill(os.getpid(), signal.SIGTERM)
output_files.OutputWriter.mark = told
sys.exit(run(["convert", sys.argv[1], "-o", sys.argv[2], "--no-verify"]))
"""

_CONVERTED = """
import sys
from localr1.cli.main import run
sys.exit(run(["convert", sys.argv[1], "-o", sys.argv[2], "--no-verify"]))
"""


def _run(script: str, source: Path, output: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, str(source), str(output)],
        capture_output=True, text=True, check=False, timeout=50,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip


def test_ctrl_c_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    source = write_checkpoint("odd_rows", tmp_path)
    outputs = tmp_path / "outputs"

    def interrupt(_progress: ConvertProgress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(source, outputs / "model.gguf", on_progress=interrupt)

    assert not outputs.exists()


def test_a_killed_conversion_leaves_no_file_under_the_final_name(tmp_path: Path) -> None:
    source = write_checkpoint("odd_rows", tmp_path)
    output = tmp_path / "model.gguf"

    done = _run(_KILLED_ON_THE_WAY, source, output)

    assert done.returncode == -signal.SIGKILL
    assert not output.exists()


def test_being_told_to_terminate_is_as_tidy_as_ctrl_c(tmp_path: Path) -> None:
    source = write_checkpoint("odd_rows", tmp_path)
    outputs = tmp_path / "outputs"
    outputs.mkdir()

    done = _run(_TOLD_TO_TERMINATE, source, outputs / "model.gguf")

    assert done.returncode == 130
    assert done.stderr.strip() == "localr1: interrupted"
    assert list(outputs.iterdir()) == []


def test_an_interrupted_conversion_says_that_it_can_go_on(tmp_path: Path) -> None:
    source = write_checkpoint("odd_rows", tmp_path)
    outputs = tmp_path / "outputs"
    outputs.mkdir()

    stopped = _run(_OFTEN_MARKED + _TOLD_TO_TERMINATE, source, outputs / "model.gguf")
    went_on = _run(_CONVERTED, source, outputs / "model.gguf")

    assert "the same command goes on from there" in stopped.stderr
    assert went_on.returncode == 0
    assert "were kept from an earlier run" in went_on.stderr
    assert [path.name for path in outputs.iterdir()] == ["model.gguf"]


def test_a_disk_that_fills_up_gives_one_line_and_exit_code_9(tmp_path: Path) -> None:
    source = write_checkpoint("odd_rows", tmp_path)
    outputs = tmp_path / "outputs"
    outputs.mkdir()

    done = _run(_WITH_ROOM_FOR_100_KB, source, outputs / "model.gguf")

    assert done.returncode == 9
    assert done.stderr.startswith("localr1: the disk filled up while writing")
    assert done.stderr.count("\n") == 1
    assert list(outputs.iterdir()) == []


def test_a_conversion_that_ran_out_of_disk_goes_on_when_there_is_room(tmp_path: Path) -> None:
    source = write_checkpoint("odd_rows", tmp_path)
    outputs = tmp_path / "outputs"
    outputs.mkdir()

    full = _run(_OFTEN_MARKED + _WITH_ROOM_FOR_300_KB, source, outputs / "model.gguf")
    kept = sorted(path.name for path in outputs.iterdir())
    went_on = _run(_CONVERTED, source, outputs / "model.gguf")

    assert full.returncode == 9
    assert kept == [".model.gguf.1.part", ".model.gguf.journal"]
    assert went_on.returncode == 0
    assert "were kept from an earlier run" in went_on.stderr
    convert(source, tmp_path / "undisturbed.gguf")
    expected = (tmp_path / "undisturbed.gguf").read_bytes()
    assert (outputs / "model.gguf").read_bytes() == expected


@pytest.mark.parametrize(
    ("script", "hint"), [("", ""), (_OFTEN_MARKED, "the same command goes on from there")]
)
def test_events_of_a_cancelled_conversion_end_with_an_error(
    script: str, hint: str, tmp_path: Path
) -> None:
    source = write_checkpoint("odd_rows", tmp_path)
    told = _TOLD_TO_TERMINATE.replace('"--no-verify"', '"--no-verify", "--json"')

    done = _run(script + told, source, tmp_path / "model.gguf")

    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 130
    assert {event["type"] for event in events[:-1]} == {"progress"}
    assert events[-1]["type"] == "error"
    assert events[-1]["code"] == "cancelled"
    assert hint in events[-1]["hint"]
    assert bool(hint) is bool(events[-1]["hint"])


def test_ctrl_c_during_the_check_says_how_to_make_up_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_checkpoint("odd_rows", tmp_path)
    output = tmp_path / "model.gguf"

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("localr1.verify.after.stamp", interrupted)

    code = run(["convert", str(source), "-o", str(output), "--json"])

    error = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert code == 130
    assert (error["type"], error["code"]) == ("error", "cancelled")
    assert f"localr1 verify {output} --source {source}" in error["hint"]
    assert output.is_file()


def test_an_error_that_stdout_does_not_take_is_told_on_stderr(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "localr1", "convert", str(tmp_path / "nowhere"), "--json"],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=50,
            cwd=Path(__file__).parents[2],
        )  # fmt: skip

    assert done.returncode == 3
    assert done.stderr.startswith("localr1: there is no ")
    assert done.stderr.count("\n") == 1
