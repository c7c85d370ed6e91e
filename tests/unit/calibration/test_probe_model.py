from __future__ import annotations

from pathlib import Path

import pytest

from localr1.calibration.probe_model import DEEP, ProbeShape, wide, write_probe
from localr1.model_facts.card import ModelCard
from localr1.units import MIB
from quant.gguf.header import read_header
from quant.gguf.types import TensorType


@pytest.mark.parametrize("name", ["Q4_K", "Q8_0", "BF16"])
def test_a_wide_probe_is_about_as_big_as_wanted(tmp_path: Path, name: str) -> None:
    shape = wide(TensorType[name], 128 * MIB)

    n_bytes = write_probe(tmp_path / "probe.gguf", TensorType[name], shape)

    card = ModelCard.from_header(read_header(tmp_path / "probe.gguf"))
    matrices = [tensor for tensor in card.tensors if len(tensor.dims) > 1]
    assert n_bytes == sum(tensor.n_bytes for tensor in matrices)
    assert {tensor.type_name for tensor in matrices} == {name}
    assert 80 * MIB < n_bytes < 350 * MIB
    assert card.n_layer == 2


def test_a_probe_takes_next_to_nothing_on_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "probe.gguf"

    write_probe(path, TensorType.Q8_0, wide(TensorType.Q8_0, 128 * MIB))

    assert path.stat().st_size > 80 * MIB
    assert path.stat().st_blocks * 512 < MIB


@pytest.mark.parametrize("shape", DEEP)
@pytest.mark.parametrize("name", ["Q4_K", "Q8_0"])
def test_a_deep_probe_can_have_any_type(tmp_path: Path, shape: ProbeShape, name: str) -> None:
    n_bytes = write_probe(tmp_path / "probe.gguf", TensorType[name], shape)

    card = ModelCard.from_header(read_header(tmp_path / "probe.gguf"))
    assert card.n_layer == shape.n_layer
    assert n_bytes < 100 * MIB
