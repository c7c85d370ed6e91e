"""What is left when a conversion stops early, and what the next one makes of it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from quant.errors import CheckpointDamagedError, DiskFullError, OutputBusyError
from quant.output import files as module
from quant.output.files import OutputFile, journal_path, output_files

_PRINT = "a" * 64


def _file(path: Path, n_bytes: int = 3) -> list[OutputFile]:
    return [OutputFile(path, b"", n_bytes)]


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, ValueError, SystemExit])
def test_nothing_is_left_when_the_writer_is_interrupted_early(
    interruption: type[BaseException], tmp_path: Path
) -> None:
    with pytest.raises(interruption):
        _write_and_stop(tmp_path / "out.gguf", b"ab", interruption())

    assert list(tmp_path.iterdir()) == []


def _write_and_stop(path: Path, data: bytes, interruption: BaseException) -> None:
    """Write and mark two bytes, write the rest, and stop."""
    with output_files(path, _file(path, 6), _PRINT) as writer:
        writer.write(data[:2])
        n_slabs = writer.kept.n_slabs + 1
        writer.mark(n_slabs, 20 * n_slabs)
        writer._await_flush()
        writer.write(data[2:])
        raise interruption


def _interrupted(path: Path, interruption: BaseException) -> None:
    with pytest.raises(type(interruption)):
        _write_and_stop(path, b"abx", interruption)


@pytest.fixture
def marked_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MARK_EVERY_BYTES", 1)


@pytest.mark.usefixtures("marked_often")
@pytest.mark.parametrize(
    "interruption", [KeyboardInterrupt(), SystemExit(), DiskFullError("full"), ValueError()]
)
def test_a_later_run_goes_on_at_the_last_mark(interruption: BaseException, tmp_path: Path) -> None:
    path = tmp_path / "out.gguf"
    _interrupted(path, interruption)
    assert journal_path(path).exists()

    with output_files(path, _file(path, 6), _PRINT) as writer:
        assert (writer.kept.n_slabs, writer.kept.n_written, writer.kept.n_read) == (1, 2, 20)
        writer.write(b"cdef")

    assert path.read_bytes() == b"abcdef"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.usefixtures("marked_often")
def test_a_failure_of_the_source_leaves_nothing_to_go_on_with(tmp_path: Path) -> None:
    _interrupted(tmp_path / "out.gguf", CheckpointDamagedError("NaN"))

    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("marked_often")
@pytest.mark.parametrize("change", ["settings", "fresh", "no part", "short part", "torn journal"])
def test_what_cannot_be_trusted_is_started_anew(change: str, tmp_path: Path) -> None:
    path = tmp_path / "out.gguf"
    _interrupted(path, KeyboardInterrupt())
    part, journal = tmp_path / ".out.gguf.1.part", journal_path(path)
    if change == "no part":
        part.unlink()
    elif change == "short part":
        part.write_bytes(b"a")
    elif change == "torn journal":
        journal.write_bytes(journal.read_bytes()[:-1])
    fingerprint = "b" * 64 if change == "settings" else _PRINT

    with output_files(path, _file(path, 6), fingerprint, fresh=change == "fresh") as writer:
        assert writer.kept.n_written == 0
        writer.write(b"uvwxyz")

    assert path.read_bytes() == b"uvwxyz"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.usefixtures("marked_often")
def test_marks_of_another_conversion_do_not_follow_a_new_first_line(tmp_path: Path) -> None:
    path = tmp_path / "out.gguf"
    _interrupted(path, KeyboardInterrupt())

    with output_files(path, _file(path, 6), "b" * 64) as writer:
        lines = journal_path(path).read_text().splitlines()
        writer.write(b"uvwxyz")

    assert len(lines) == 1
    assert "b" * 64 in lines[0]


@pytest.mark.usefixtures("marked_often")
def test_a_torn_line_does_not_hide_the_marks_after_it(tmp_path: Path) -> None:
    path = tmp_path / "out.gguf"
    _interrupted(path, KeyboardInterrupt())
    with journal_path(path).open("ab") as journal:
        journal.write(b"0000")
    with pytest.raises(KeyboardInterrupt):
        _write_and_stop(path, b"cd", KeyboardInterrupt())

    with output_files(path, _file(path, 6), _PRINT) as writer:
        assert writer.kept.n_written == 4
        writer.write(b"ef")

    assert path.read_bytes() == b"abcdef"


def test_a_second_writer_is_refused_and_told_who_is_at_work(tmp_path: Path) -> None:
    path = tmp_path / "out.gguf"

    with output_files(path, _file(path), _PRINT) as writer:
        with (
            pytest.raises(OutputBusyError, match=f"process {os.getpid()} is writing"),
            output_files(path, _file(path), _PRINT),
        ):
            pytest.fail("the block must not be entered")
        writer.write(b"abc")

    assert path.read_bytes() == b"abc"


def test_an_interruption_between_the_names_is_made_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [OutputFile(tmp_path / name, b"", 2) for name in ("one", "two")]
    replace = Path.replace

    def replaced(source: Path, target: Path) -> Path:
        if target.name == "one":
            raise KeyboardInterrupt
        return replace(source, target)

    def write_all() -> None:
        with output_files(tmp_path / "out", files, _PRINT) as writer:
            writer.write(b"ab")
            writer.write(b"cd")
            writer.mark(2, 8)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", replaced)
        with pytest.raises(KeyboardInterrupt):
            write_all()
    assert (tmp_path / "two").exists()
    assert not (tmp_path / "one").exists()

    with output_files(tmp_path / "out", files, _PRINT) as writer:
        assert (writer.kept.n_slabs, writer.kept.n_written) == (2, 4)

    assert [path.read_bytes() for path in sorted(tmp_path.iterdir())] == [b"ab", b"cd"]


@pytest.mark.usefixtures("marked_often")
def test_room_that_a_part_takes_beyond_its_mark_is_not_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.gguf"
    _interrupted(path, KeyboardInterrupt())  # two bytes are marked, three are there
    usage = shutil.disk_usage(tmp_path)._replace(free=3)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)

    with output_files(path, _file(path, 6), _PRINT) as writer:
        writer.write(b"cdef")

    assert path.read_bytes() == b"abcdef"
