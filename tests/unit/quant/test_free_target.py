"""What a conversion may write over, and what not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from quant.errors import OutputExistsError, OutputNotWritableError
from quant.output.target import require_apart, require_free_target
from quant.pipeline import convert
from tests.support.models import R1_NANO_CHECKPOINT


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_no_regular_file_is_never_replaced(*, overwrite: bool, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.gguf"
    os.mkfifo(pipe)

    with pytest.raises(OutputNotWritableError, match="no regular file"):
        require_free_target(pipe, overwrite=overwrite)


def test_a_file_is_replaced_only_when_told_to(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"before")

    require_free_target(path, overwrite=True)
    with pytest.raises(OutputExistsError, match="exists"):
        require_free_target(path, overwrite=False)


def test_what_is_read_is_never_written_over_by_whatever_name(tmp_path: Path) -> None:
    source, link, other = (tmp_path / name for name in ("source", "link", "other"))
    source.write_bytes(b"weights")
    link.symlink_to(source)
    other.write_bytes(b"weights")

    require_apart(other, [source])
    require_apart(tmp_path / "new", [source, tmp_path / "gone"])
    for target in (source, link):
        with pytest.raises(OutputExistsError, match="what is read"):
            require_apart(target, [other, source])


def test_a_source_is_not_overwritten_even_if_told_to(tmp_path: Path) -> None:
    source = convert(R1_NANO_CHECKPOINT, tmp_path / "model.gguf", file_type="Q8_0").output
    before = source.read_bytes()

    with pytest.raises(OutputExistsError, match="what is read"):
        convert(source, source, file_type="Q8_0", overwrite=True)

    assert source.read_bytes() == before
    assert list(tmp_path.iterdir()) == [source]
