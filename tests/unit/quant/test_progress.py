from __future__ import annotations

from pathlib import Path

import pytest

from quant.output import files
from quant.pipeline import ConvertProgress, convert
from tests.support.models import R1_NANO_CHECKPOINT


def test_progress_ends_with_every_byte_and_every_weight(tmp_path: Path) -> None:
    seen: list[ConvertProgress] = []

    result = convert(R1_NANO_CHECKPOINT, tmp_path / "m.gguf", on_progress=seen.append)

    assert seen[-1].bytes_done == seen[-1].bytes_total == result.bytes_read
    assert seen[-1].n_weights_done == result.n_params
    assert seen[-1].bytes_kept == 0


def test_a_run_that_goes_on_counts_only_its_own_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MARK_EVERY_BYTES", 1)
    before: list[ConvertProgress] = []
    after: list[ConvertProgress] = []

    def interrupt_in_the_middle(progress: ConvertProgress) -> None:
        before.append(progress)
        if progress.bytes_done > progress.bytes_total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(R1_NANO_CHECKPOINT, tmp_path / "m.gguf", on_progress=interrupt_in_the_middle)
    result = convert(R1_NANO_CHECKPOINT, tmp_path / "m.gguf", on_progress=after.append)

    # what was written last may not have been safe on the disk yet
    kept = next(seen for seen in before if seen.bytes_done == after[-1].bytes_kept)
    assert after[-1].n_weights_done == result.n_params - kept.n_weights_done
