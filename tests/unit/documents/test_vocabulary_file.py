"""Vocabularies of files whose weights are not there: counted as by the whole file."""

from __future__ import annotations

from pathlib import Path

import pytest

from localr1.documents.token_count import TokenCounter
from localr1.documents.vocabulary_file import vocabulary_file
from quant.gguf.header import read_header
from quant.pipeline import convert
from tests.support.models import R1_NANO_CHECKPOINT

_TEXT = "What is 12 + 8 * 3? 人工智能 " * 20


def counted(path: Path) -> int:
    with TokenCounter(path) as counter:
        count = counter.count(_TEXT)
    assert not counter.why_estimated
    return count.lowest


def test_a_whole_file_is_taken_as_it_is(r1_nano: Path) -> None:
    with vocabulary_file(r1_nano) as path:
        assert path == r1_nano


@pytest.mark.parametrize("n_left", [0, 1000])
def test_a_file_that_ends_before_its_weights_counts_the_same(
    n_left: int, r1_nano: Path, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(r1_nano.read_bytes()[: read_header(r1_nano).data_offset + n_left])

    assert counted(cut) == counted(r1_nano)


def test_the_first_of_several_parts_counts_the_same(r1_nano: Path, tmp_path: Path) -> None:
    convert(R1_NANO_CHECKPOINT, tmp_path / "nano.gguf", split_bytes=1_000_000)
    first, *others = sorted(tmp_path.glob("*.gguf"))
    for other in others:
        other.unlink()

    assert others
    assert counted(first) == counted(r1_nano)


def test_nothing_is_left_behind(r1_nano: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(r1_nano.read_bytes()[: read_header(r1_nano).data_offset])

    with vocabulary_file(cut) as path:
        assert path.exists()
        assert not read_header(path).tensors

    assert not path.parent.exists()
