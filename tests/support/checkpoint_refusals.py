"""Owns what every refused conversion keeps: one line, a typed error, the output as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from quant.errors import QuantError
from quant.pipeline import convert


def refusal(source: Path, parent: Path, file_type: str = "Q8_0") -> QuantError:
    """Convert into an empty directory, check that it stays empty, and hand the error over."""
    outputs = parent / "outputs"
    outputs.mkdir()
    with pytest.raises(QuantError) as caught:
        convert(source, outputs / "model.gguf", file_type=file_type)
    assert list(outputs.iterdir()) == []
    assert "\n" not in caught.value.message
    return caught.value
