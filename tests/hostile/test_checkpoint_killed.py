"""kill -9 at seeded moments of a conversion, then the same command again: always the same file.

A moment is the N-th call that changes the disk. At a write, half of the bytes get through first.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from quant.output.files import journal_path
from quant.pipeline import convert
from tests.support.checkpoint_zoo import write_checkpoint

_N_KILLS = 20

_KILLED_AT_A_MOMENT = """
import os, signal, sys
from pathlib import Path
from quant.output import files as output_files
from quant.pipeline import convert
output_files.MARK_EVERY_BYTES = 50_000
n_left = int(sys.argv[3])
def counted(call, dying=lambda *arguments: None):
    def wrapper(*arguments, **options):
        global n_left
        n_left -= 1
        if n_left == 0:
            dying(*arguments)
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments, **options)
    return wrapper
mark = output_files.OutputWriter.mark
def mark_at_once(self, *arguments):
    mark(self, *arguments)
    self._await_flush()  # or the number of calls would depend on the disk's speed
output_files.OutputWriter.mark = mark_at_once
write = os.write
os.write = counted(write, lambda file, data: write(file, data[:len(data) // 2]))
os.pwrite, os.fsync, os.ftruncate = map(counted, (os.pwrite, os.fsync, os.ftruncate))
Path.replace, Path.unlink = map(counted, (Path.replace, Path.unlink))
convert(Path(sys.argv[1]), Path(sys.argv[2]), file_type="Q8_0")
print(-n_left)
"""


def _run(source: Path, output: Path, moment: int) -> subprocess.CompletedProcess[str]:
    """Convert in a process that dies at the moment; 0 never comes, and the calls are counted."""
    return subprocess.run(
        [sys.executable, "-c", _KILLED_AT_A_MOMENT, str(source), str(output), str(moment)],
        capture_output=True, text=True, check=False, timeout=50,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes, int]:
    """A checkpoint, the file that it becomes, and how many moments that takes."""
    directory = tmp_path_factory.mktemp("undisturbed")
    source = write_checkpoint("qwen2_tied", directory)
    done = _run(source, directory / "model.gguf", 0)
    assert done.returncode == 0, done.stderr
    return source, (directory / "model.gguf").read_bytes(), int(done.stdout)


@pytest.mark.parametrize("seed", range(_N_KILLS))
def test_a_conversion_killed_at_any_moment_gives_the_same_file_when_run_again(
    seed: int, undisturbed: tuple[Path, bytes, int], tmp_path: Path
) -> None:
    source, expected, n_moments = undisturbed
    moment = random.Random(seed).randint(1, n_moments - 5)  # noqa: S311 - seeded on purpose
    output = tmp_path / "model.gguf"

    killed = _run(source, output, moment)
    assert killed.returncode == -signal.SIGKILL
    assert not output.exists() or output.read_bytes() == expected
    convert(source, output, file_type="Q8_0")

    assert output.read_bytes() == expected
    assert list(tmp_path.iterdir()) == [output]


def test_most_of_a_killed_conversion_is_kept(
    undisturbed: tuple[Path, bytes, int], tmp_path: Path
) -> None:
    source, expected, n_moments = undisturbed
    output = tmp_path / "model.gguf"
    _run(source, output, n_moments * 4 // 5)

    result = convert(source, output, file_type="Q8_0")

    assert len(expected) // 2 < result.bytes_kept < len(expected)
    assert result.bytes_read == convert(source, tmp_path / "anew.gguf", file_type="Q8_0").bytes_read


def test_weights_that_changed_meanwhile_are_not_mixed(
    undisturbed: tuple[Path, bytes, int], tmp_path: Path
) -> None:
    source, expected, n_moments = undisturbed
    output = tmp_path / "model.gguf"
    _run(source, output, n_moments * 4 // 5)
    os.utime(source / "model.safetensors", ns=(1, 1))

    result = convert(source, output, file_type="Q8_0")

    assert result.bytes_kept == 0
    assert output.read_bytes() == expected


def test_a_type_of_weights_that_changed_meanwhile_is_not_mixed(
    undisturbed: tuple[Path, bytes, int], tmp_path: Path
) -> None:
    source, _, n_moments = undisturbed
    output = tmp_path / "model.gguf"
    _run(source, output, n_moments * 4 // 5)
    assert journal_path(output).exists()

    result = convert(source, output, file_type="F16")

    assert result.bytes_kept == 0
    assert list(tmp_path.iterdir()) == [output]
