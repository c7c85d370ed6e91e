"""What a conversion may write over, and what not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from quant.errors import OutputExistsError, OutputNotWritableError
from quant.output.files import require_free_target


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
