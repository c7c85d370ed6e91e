from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from quant.atomic_file import OutputFile, atomic_file
from quant.errors import DiskFullError, OutputNotWritableError


def test_the_file_appears_under_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "out.gguf"

    with atomic_file(path, 3) as file:
        file.write(b"abc")
        assert not path.exists()

    assert path.read_bytes() == b"abc"
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()

    with atomic_file(tmp_path / "out.gguf", 0):
        pass

    modes = {path.stat().st_mode for path in tmp_path.iterdir()}
    assert len(modes) == 1


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, ValueError, SystemExit])
def test_nothing_is_left_when_the_writer_is_interrupted(
    interruption: type[BaseException], tmp_path: Path
) -> None:
    with pytest.raises(interruption), atomic_file(tmp_path / "out.gguf", 3):
        raise interruption

    assert list(tmp_path.iterdir()) == []


class FakeRawFile:
    """Takes two bytes at a time, until it fails."""

    def __init__(self, n_bytes: int, failure: int) -> None:
        self.content = b""
        self._n_bytes = n_bytes
        self._failure = failure

    def write(self, data: memoryview) -> int:
        if len(self.content) >= self._n_bytes:
            raise OSError(self._failure, os.strerror(self._failure))
        self.content += data[:2].tobytes()
        return len(data[:2])


def test_a_file_that_takes_few_bytes_at_a_time_gets_them_all(tmp_path: Path) -> None:
    raw = FakeRawFile(100, errno.EIO)

    OutputFile(tmp_path / "out.gguf", raw).write(b"abcdefg")

    assert raw.content == b"abcdefg"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_disk_that_fills_up_is_an_error_of_its_own(number: int, tmp_path: Path) -> None:
    file = OutputFile(tmp_path / "out.gguf", FakeRawFile(4, number))

    with pytest.raises(DiskFullError) as caught:
        file.write(b"abcdefg")

    assert caught.value.exit_code == 9


def test_any_other_failure_names_the_output_and_the_reason(tmp_path: Path) -> None:
    file = OutputFile(tmp_path / "out.gguf", FakeRawFile(0, errno.EIO))

    with pytest.raises(OutputNotWritableError, match=r"out\.gguf: Input/output error"):
        file.write(b"abc")


def test_a_closed_pipe_in_the_block_is_not_taken_for_a_failure_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(BrokenPipeError), atomic_file(tmp_path / "out.gguf", 3):
        raise BrokenPipeError

    assert list(tmp_path.iterdir()) == []


def test_a_disk_too_small_is_refused_before_the_first_byte(tmp_path: Path) -> None:
    with (
        pytest.raises(DiskFullError, match="the disk has"),
        atomic_file(tmp_path / "out.gguf", 2**60),
    ):
        pytest.fail("the block must not be entered")

    assert list(tmp_path.iterdir()) == []


def test_missing_directories_are_made(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "a" / "b" / "out.gguf", 0):
        pass

    assert (tmp_path / "a" / "b" / "out.gguf").is_file()


def test_a_directory_that_is_a_file_is_an_error_that_names_the_output(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with (
        pytest.raises(OutputNotWritableError, match=r"file/out\.gguf"),
        atomic_file(tmp_path / "file" / "out.gguf", 0),
    ):
        pytest.fail("the block must not be entered")


def test_a_long_name_still_has_room_for_the_temporary_one(tmp_path: Path) -> None:
    path = tmp_path / ("é" * 120 + ".gguf")

    with atomic_file(path, 0):
        pass

    assert path.is_file()
