from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from quant.cache_folders import hold_folder, remove_old_folders


def _folder(parent: Path, name: str, used_s: int) -> Path:
    folder = parent / name
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "file").write_bytes(b"made once")
    os.utime(folder, (used_s, used_s))
    return folder


def test_those_that_were_used_last_stay(tmp_path: Path) -> None:
    folders = [_folder(tmp_path, name, used_s) for name, used_s in (("b", 2), ("a", 1), ("c", 3))]

    removed = remove_old_folders(folders, 2)

    assert [folder.name for folder in removed] == ["a"]
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["b", "c"]


@pytest.mark.parametrize("is_shared", [True, False])
def test_a_folder_in_use_stays_however_old(tmp_path: Path, *, is_shared: bool) -> None:
    old = _folder(tmp_path, "old", 1)
    descriptor = hold_folder(old, is_shared=is_shared)
    os.utime(old, (1, 1))
    new = _folder(tmp_path, "new", 2)

    while_used = remove_old_folders([old, new], 1)
    os.close(descriptor)
    afterwards = remove_old_folders([old, new], 1)

    assert while_used == []
    assert afterwards == [old]


def test_to_hold_a_folder_is_to_use_it(tmp_path: Path) -> None:
    old, new = _folder(tmp_path, "old", 1), _folder(tmp_path, "new", 2)

    os.close(hold_folder(old, is_shared=True))

    assert remove_old_folders([old, new], 1) == [new]


def test_a_folder_is_not_shared_with_who_wants_it_alone(tmp_path: Path) -> None:
    descriptor = hold_folder(tmp_path / "folder", is_shared=True)

    with pytest.raises(BlockingIOError):
        hold_folder(tmp_path / "folder", is_shared=False)

    os.close(hold_folder(tmp_path / "folder", is_shared=True))
    os.close(descriptor)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    precious = _folder(tmp_path, "precious", 1)
    link = tmp_path / "link"
    link.symlink_to(precious)

    assert remove_old_folders([link], 0) == []

    assert (precious / "deep" / "file").exists()


def test_kernels_of_older_versions_leave_the_cache(tmp_path: Path) -> None:
    for number in range(4):
        _folder(tmp_path, f"kernels-{number}", used_s=number)
    script = (
        "import sys\nfrom pathlib import Path\nfrom quant.blocks.compiled_code import keep_below\n"
        "print(keep_below(Path(sys.argv[1])).name)"
    )

    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3],
    )  # fmt: skip

    kept = sorted(folder.name for folder in tmp_path.iterdir())
    assert kept == sorted(["kernels-2", "kernels-3", done.stdout.strip()])
