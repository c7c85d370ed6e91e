"""Headers of the catalogue beside those of files that were really published."""

from __future__ import annotations

from pathlib import Path

import pytest

from localr1.catalogue.entry import entries
from localr1.catalogue.header import header_of
from localr1.model_facts.card import ModelCard
from localr1.plan.planner import make_plan
from localr1.plan.request import HostMemory, PlanRequest
from quant.gguf.header import GgufHeader, read_header
from quant.gguf.types import FileType

_HOST = HostMemory(total_bytes=2**36, available_bytes=2**36, cpu_features=frozenset({"avx2"}))


def _types(header: GgufHeader) -> dict[str, tuple[str, tuple[int, ...]]]:
    return {tensor.name: (tensor.type_name, tensor.dims) for tensor in header.tensors}


def test_the_published_r1_7b_is_repeated_tensor_by_tensor(r1_7b: Path) -> None:
    drawn = header_of(entries()["deepseek-r1:7b"], FileType.Q4_K_M)
    real = read_header(r1_7b, allow_truncated=True)

    assert _types(drawn) == _types(real)
    assert drawn.file_bytes == pytest.approx(real.file_bytes, rel=0.002)


def test_the_plan_of_the_published_r1_7b_is_repeated(r1_7b: Path) -> None:
    drawn = ModelCard.from_header(header_of(entries()["deepseek-r1:7b"], FileType.Q4_K_M))
    real = ModelCard.from_header(read_header(r1_7b, allow_truncated=True))

    plans = [make_plan(card, PlanRequest(n_ctx=16_384), (), _HOST).host for card in (drawn, real)]

    for name in ("kv_bytes", "compute_bytes", "output_bytes"):
        assert getattr(plans[0], name) == getattr(plans[1], name)
    assert plans[0].weights_bytes == pytest.approx(plans[1].weights_bytes, rel=0.001)


def test_the_published_gemma_3_270m_is_repeated_tensor_by_tensor(gemma3: Path) -> None:
    drawn = header_of(entries()["gemma3:270m"], FileType.Q4_K_M)

    assert _types(drawn) == _types(read_header(gemma3))


def test_gpt_oss_has_the_size_that_llama_cpp_prints_of_the_published_file() -> None:
    header = header_of(entries()["gpt-oss:20b"], FileType.MXFP4_MOE)

    assert f"{header.file_bytes / 2**30:.2f} GiB" == "11.27 GiB"
