from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from quant.errors import (
    BadRequestError,
    DiskFullError,
    OutputExistsError,
    OutputNotWritableError,
)
from quant.output.files import OutputFile, journal_path, output_files

_PRINT = "a" * 64


def _file(path: Path, n_bytes: int = 3) -> list[OutputFile]:
    return [OutputFile(path, b"", n_bytes)]


def test_the_file_appears_under_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "out.gguf"

    with output_files(path, _file(path), _PRINT) as writer:
        writer.write(b"abc")
        assert not path.exists()

    assert path.read_bytes() == b"abc"
    assert list(tmp_path.iterdir()) == [path]


def test_files_are_filled_one_after_the_other_behind_their_headers(tmp_path: Path) -> None:
    files = [OutputFile(tmp_path / name, name.encode(), 5) for name in ("one", "two")]

    with output_files(tmp_path / "out", files, _PRINT) as writer:
        for data in (b"ab", b"c", b"d"):
            writer.write(data)

    assert (tmp_path / "one").read_bytes() == b"oneab"
    assert (tmp_path / "two").read_bytes() == b"twocd"
    assert len(list(tmp_path.iterdir())) == 2


def test_the_file_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    path = tmp_path / "out.gguf"

    with output_files(path, _file(path), _PRINT) as writer:
        writer.write(b"abc")

    assert len({entry.stat().st_mode for entry in tmp_path.iterdir()}) == 1


def _failing_after(n_bytes: int, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the disk take two bytes at a time, until it fails."""
    write, taken = os.write, 0

    def fake(descriptor: int, data: memoryview) -> int:
        nonlocal taken
        if taken >= n_bytes:
            raise OSError(number, os.strerror(number))
        taken += 2
        return write(descriptor, data[:2])

    monkeypatch.setattr(os, "write", fake)


def test_a_disk_that_takes_few_bytes_at_a_time_gets_them_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.gguf"

    with output_files(path, _file(path, 7), _PRINT) as writer, monkeypatch.context() as patched:
        _failing_after(100, errno.EIO, patched)
        writer.write(b"abcdefg")

    assert path.read_bytes() == b"abcdefg"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_disk_that_fills_up_is_an_error_of_its_own(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.gguf"
    _failing_after(4, number, monkeypatch)

    with (
        pytest.raises(DiskFullError) as caught,
        output_files(path, _file(path, 7), _PRINT) as writer,
    ):
        writer.write(b"abcdefg")

    assert caught.value.exit_code == 9
    assert list(tmp_path.iterdir()) == []


def test_any_other_failure_names_the_output_and_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.gguf"
    _failing_after(0, errno.EIO, monkeypatch)

    with (
        pytest.raises(OutputNotWritableError, match=r"out\.gguf: Input/output error"),
        output_files(path, _file(path), _PRINT) as writer,
    ):
        writer.write(b"abc")


def test_a_closed_pipe_in_the_block_is_not_taken_for_a_failure_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "out.gguf"

    with pytest.raises(BrokenPipeError), output_files(path, _file(path), _PRINT):
        raise BrokenPipeError

    assert list(tmp_path.iterdir()) == []


def test_a_disk_too_small_is_refused_before_the_first_byte(tmp_path: Path) -> None:
    path = tmp_path / "out.gguf"

    with (
        pytest.raises(DiskFullError, match="the disk has"),
        output_files(path, _file(path, 2**60), _PRINT),
    ):
        pytest.fail("the block must not be entered")

    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_a_file_is_an_error_that_names_the_output(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "out.gguf"

    with (
        pytest.raises(OutputNotWritableError, match=r"file/out\.gguf"),
        output_files(path, _file(path), _PRINT),
    ):
        pytest.fail("the block must not be entered")


def test_a_part_that_is_a_link_to_elsewhere_is_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("keep me")
    path = tmp_path / "outputs" / "out.gguf"
    path.parent.mkdir()
    journal_path(path).symlink_to(precious)

    with pytest.raises(OutputNotWritableError), output_files(path, _file(path), _PRINT):
        pytest.fail("the block must not be entered")

    assert precious.read_text() == "keep me"


def test_an_existing_file_of_the_name_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "out.gguf"
    path.write_text("precious")

    with pytest.raises(OutputExistsError), output_files(path, _file(path), _PRINT):
        pytest.fail("the block must not be entered")

    assert [entry.read_text() for entry in tmp_path.iterdir()] == ["precious"]


def test_long_names_with_one_beginning_do_not_share_their_parts(tmp_path: Path) -> None:
    first, second = (tmp_path / ("é" * 110 + f"{letter}.gguf") for letter in "ab")

    with output_files(first, _file(first), _PRINT) as one:
        with output_files(second, _file(second), _PRINT) as two:
            two.write(b"two")
        one.write(b"one")

    assert (first.read_bytes(), second.read_bytes()) == (b"one", b"two")


def test_a_directory_that_was_made_goes_again_if_nothing_comes_of_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deep" / "model.gguf"

    with pytest.raises(BadRequestError), output_files(path, _file(path), _PRINT):
        raise BadRequestError("refused before the first byte")

    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_was_there_stays_if_nothing_comes_of_it(tmp_path: Path) -> None:
    path = tmp_path / "there" / "model.gguf"
    path.parent.mkdir()

    with pytest.raises(BadRequestError), output_files(path, _file(path), _PRINT):
        raise BadRequestError("refused before the first byte")

    assert list(tmp_path.iterdir()) == [path.parent]
