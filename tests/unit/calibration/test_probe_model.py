from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest

from localr1.calibration.probe_model import (
    DEEP,
    LOOKING,
    SHALLOW,
    TALKATIVE,
    ProbeShape,
    narrow,
    wide,
    write_probe,
)
from localr1.model_facts.card import ModelCard
from localr1.units import MIB
from quant.gguf.header import read_header
from quant.gguf.types import TensorType

_Make = Callable[[TensorType, int], ProbeShape]


def _card(path: Path) -> ModelCard:
    return ModelCard.from_header(read_header(path))


@pytest.mark.parametrize("make", [wide, narrow])
@pytest.mark.parametrize("name", ["Q4_K", "Q8_0", "BF16"])
def test_a_probe_of_weights_is_about_as_big_as_wanted(name: str, make: _Make) -> None:
    shape = make(TensorType[name], 128 * MIB)

    n_embd, n_ff = shape.n_embd, shape.n_ff
    n_weights = shape.n_layer * 3 * n_embd * n_ff
    n_bytes = TensorType[name].n_bytes(n_embd) * n_weights // n_embd
    assert 64 * MIB < n_bytes <= 128 * MIB


@pytest.mark.parametrize("shape", [SHALLOW, TALKATIVE, DEEP[0], *LOOKING])
@pytest.mark.parametrize("name", ["Q4_K", "Q8_0"])
def test_a_probe_has_the_shape_that_was_asked_for(
    tmp_path: Path, shape: ProbeShape, name: str
) -> None:
    write_probe(tmp_path / "probe.gguf", TensorType[name], shape)

    card = _card(tmp_path / "probe.gguf")
    header = read_header(tmp_path / "probe.gguf")
    assert (card.n_layer, card.n_embd, card.n_vocab) == (
        shape.n_layer,
        shape.n_embd,
        shape.n_vocab,
    )
    assert card.n_head == (shape.n_head,) * shape.n_layer
    assert card.n_head_kv == (shape.n_head_kv,) * shape.n_layer
    assert card.head_dim_k == card.head_dim_v == (shape.head_dim,) * shape.n_layer
    assert {t.type_name for t in card.tensors if len(t.dims) > 1} == {name}
    assert header.missing_bytes == 0
    assert (tmp_path / "probe.gguf").stat().st_size == card.file_bytes


@pytest.mark.parametrize("name", ["Q4_K", "Q6_K", "Q5_0", "Q8_0", "MXFP4", "BF16", "F16", "IQ4_XS"])
def test_weights_are_random_and_finite(tmp_path: Path, name: str) -> None:
    path = tmp_path / "probe.gguf"

    write_probe(path, TensorType[name], SHALLOW)

    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    weights = gguf.dequantize(
        tensors["blk.0.ffn_up.weight"].data, tensors["blk.0.ffn_up.weight"].tensor_type
    )
    assert np.isfinite(weights).all()
    assert np.unique(weights).size > 10
    np.testing.assert_allclose(tensors["blk.0.attn_norm.weight"].data, 1e-6)
