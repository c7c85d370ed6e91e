"""Conversions cut short: by the user, by a signal that cannot be caught, by a full disk."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

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
sys.exit(run(["convert", sys.argv[1], "-o", sys.argv[2]]))
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

    assert list(outputs.iterdir()) == []


def test_a_killed_conversion_leaves_no_file_under_the_final_name(tmp_path: Path) -> None:
    source = write_checkpoint("odd_rows", tmp_path)
    output = tmp_path / "model.gguf"

    done = _run(_KILLED_ON_THE_WAY, source, output)

    assert done.returncode == -signal.SIGKILL
    assert not output.exists()


def test_a_disk_that_fills_up_gives_one_line_and_exit_code_9(tmp_path: Path) -> None:
    source = write_checkpoint("odd_rows", tmp_path)
    outputs = tmp_path / "outputs"
    outputs.mkdir()

    done = _run(_WITH_ROOM_FOR_100_KB, source, outputs / "model.gguf")

    assert done.returncode == 9
    assert done.stderr.startswith("localr1: the disk filled up while writing")
    assert done.stderr.count("\n") == 1
    assert list(outputs.iterdir()) == []
