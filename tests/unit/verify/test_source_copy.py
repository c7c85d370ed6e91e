"""What a conversion that was killed while it was verified leaves, and who takes it away."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from localr1.cli.main import run
from localr1.verify.source_copy import remove_abandoned_copies, source_as_gguf
from quant.blueprint import open_source
from quant.gguf.types import TensorType
from tests.support.models import R1_NANO_CHECKPOINT


@pytest.mark.parametrize("name", ["m.gguf", "m-00001-of-00002.gguf"])
def test_the_copy_is_beside_the_output_and_gone_afterwards(name: str, tmp_path: Path) -> None:
    checkpoint = open_source(R1_NANO_CHECKPOINT)

    with source_as_gguf(checkpoint, tmp_path / name, TensorType.BF16, lambda _event: None) as copy:
        remove_abandoned_copies(tmp_path)
        assert copy == tmp_path / ".m.source" / "source.gguf"
        assert copy.stat().st_size > 10_000_000

    assert list(tmp_path.iterdir()) == []


def test_an_abandoned_copy_goes_even_if_the_next_conversion_is_refused(tmp_path: Path) -> None:
    output = tmp_path / "m.gguf"
    output.write_bytes(b"complete")
    (tmp_path / ".m.source").mkdir()
    (tmp_path / ".m.source" / ".source.gguf.1.part").write_bytes(b"half")

    code = run(["convert", str(R1_NANO_CHECKPOINT), "-o", str(output)])

    assert code == 2
    assert list(tmp_path.iterdir()) == [output]


def test_a_copy_that_somebody_needs_stays(tmp_path: Path) -> None:
    directory = tmp_path / ".m.source"
    directory.mkdir()
    lock = os.open(directory, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_SH)

    remove_abandoned_copies(tmp_path)
    was_there = directory.exists()
    os.close(lock)
    remove_abandoned_copies(tmp_path)

    assert was_there
    assert not directory.exists()
