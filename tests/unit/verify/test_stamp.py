from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader

from localr1 import __version__
from localr1.verify.fidelity import MEASURES
from localr1.verify.stamp import NOT_MEASURED, PREFIX, reserved_keys, source_digest, stamp
from quant.gguf.key_values import KeyValues
from quant.gguf.writer import encode_header
from quant.source.safetensors import StoredTensor

_DIGEST = "0123456789abcdef" * 4


def _header(*, description: str = "a model") -> bytes:
    keys = KeyValues()
    keys.string("general.architecture", "qwen2")
    keys.string("general.description", description)
    keys.items.update(reserved_keys().items)
    return encode_header(keys, [])


def _measures(path: Path) -> dict[str, float]:
    fields = GGUFReader(path).fields
    return {name: float(fields[PREFIX + name].parts[-1][0]) for name in MEASURES}


def test_nothing_counts_as_measured_before_it_was(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(_header())

    fields = GGUFReader(tmp_path / "model.gguf").fields

    assert set(_measures(tmp_path / "model.gguf").values()) == {NOT_MEASURED}
    assert bytes(fields[f"{PREFIX}version"].parts[-1]).decode() == __version__


def test_measured_values_take_the_place_of_the_reserved_ones(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(_header() + b"weights")

    stamp(path, {"kl_divergence": 0.25, "top1_agreement": 0.5}, _DIGEST)

    assert _measures(path) == dict.fromkeys(MEASURES, NOT_MEASURED) | {
        "kl_divergence": 0.25,
        "top1_agreement": 0.5,
    }
    digest = GGUFReader(path).fields[f"{PREFIX}source_sha256"]
    assert bytes(digest.parts[-1]).decode() == _DIGEST
    assert path.read_bytes().endswith(b"weights")


def test_a_description_that_quotes_a_key_is_left_alone(tmp_path: Path) -> None:
    key = f"{PREFIX}kl_divergence"
    quote = struct.pack("<Q", len(key)).decode() + key + struct.pack("<I", 6).decode() + "quoted"
    path = tmp_path / "model.gguf"
    path.write_bytes(_header(description=quote))

    stamp(path, {"kl_divergence": 0.25}, _DIGEST)

    assert _measures(path)["kl_divergence"] == 0.25
    description = GGUFReader(path).fields["general.description"]
    assert bytes(description.parts[-1]).decode() == quote


@pytest.fixture
def source(tmp_path: Path) -> StoredTensor:
    path = tmp_path / "model.safetensors"
    path.write_bytes(np.arange(100_000, dtype="<f4").tobytes())
    return StoredTensor(path, "a.weight", "F32", (50_000,), 0, 200_000)


def test_a_digest_knows_the_first_weights_names_and_shapes(source: StoredTensor) -> None:
    digest = source_digest([source])
    data = bytearray(source.path.read_bytes())

    renamed = StoredTensor(source.path, "b.weight", "F32", (50_000,), 0, 200_000)
    reshaped = StoredTensor(source.path, "a.weight", "F32", (500, 100), 0, 200_000)
    data[400] ^= 1
    source.path.write_bytes(data)

    assert len({digest, source_digest([source]), source_digest([renamed])}) == 3
    assert source_digest([reshaped]) != source_digest([source])


def test_a_digest_does_not_depend_on_the_order_of_tensors(source: StoredTensor) -> None:
    other = StoredTensor(source.path, "b.weight", "F32", (50_000,), 200_000, 200_000)

    assert source_digest([source, other]) == source_digest([other, source])
