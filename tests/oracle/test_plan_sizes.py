"""Plans against what llama.cpp itself says it would allocate, on shapes without weights.

llama.cpp prints MiB with two decimals, hence the tolerance of half a hundredth per printed line.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest

from backends.errors import UnsupportedParametersError
from localr1.model_facts.card import ModelCard
from localr1.plan.memory_plan import MemoryPlan
from localr1.plan.planner import make_plan
from localr1.plan.request import HostMemory, PlanRequest
from localr1.units import MIB
from quant.gguf.header import read_header
from tests.support.gguf_dense import DenseShape, write_dense
from tests.support.gguf_experts import ExpertShape, write_experts
from tests.support.gguf_llama_sizes import llama_sizes

_HOST = HostMemory(total_bytes=2**36, available_bytes=2**36)
_ROUNDING_MIB = 0.006

_ATTENTION = (
    ("on", "f16", "f16"),
    ("auto", "q8_0", "q4_0"),
    ("on", "f32", "f32"),
    ("off", "f16", "f16"),
    ("off", "q8_0", "f16"),
)
_REQUESTS: list[dict[str, Any]] = [
    {
        "n_ctx": n_ctx,
        "n_ubatch": n_ubatch,
        "flash_attn": flash_attn,
        "type_k": type_k,
        "type_v": type_v,
    }
    for n_ctx, n_ubatch, (flash_attn, type_k, type_v) in product(
        (512, 2304, 8192), (128, 512, 2048), _ATTENTION
    )
]
_SHAPES = {
    "llama": DenseShape(arch="llama"),
    "llama with odd heads, tied": DenseShape(
        arch="llama", n_head=6, n_head_kv=1, head_dim=32, n_embd=192, is_tied=True
    ),
    "qwen2": DenseShape(arch="qwen2"),
    "qwen2 without grouped heads": DenseShape(
        arch="qwen2", n_head=8, n_head_kv=8, head_dim=96, n_embd=768, n_ff=256, n_layer=5
    ),
    "qwen3": DenseShape(arch="qwen3"),
    "gemma2": DenseShape(arch="gemma2", n_layer=4, n_swa=512, is_tied=True),
    "gemma3": DenseShape(arch="gemma3", n_layer=14, n_swa=512, is_tied=True),
}
_EXPERTS = {
    "mixtral": ExpertShape(arch="llama", n_expert=8, n_used=2, n_ff_exp=768),
    "qwen2moe": ExpertShape(arch="qwen2moe"),
    "qwen3moe": ExpertShape(arch="qwen3moe"),
    "gpt-oss": ExpertShape(arch="gpt-oss", n_swa=128, n_layer=4),
    "deepseek2 as V2-Lite": ExpertShape(
        arch="deepseek2", n_layer=27, n_dense=1, n_ff_shared=256
    ),
    "deepseek2 as V3": ExpertShape(
        arch="deepseek2", n_layer=5, n_dense=2, n_lora_q=96, n_groups=4, gating=2, scale=2.5,
        is_normalised=True, has_selection_bias=True, n_ff_shared=128,
    ),
}  # fmt: skip


def _plan(model: Path, request: dict[str, Any]) -> MemoryPlan:
    card = ModelCard.from_header(read_header(model))
    return make_plan(card, PlanRequest(**request), (), _HOST)


@pytest.mark.parametrize("shape", _SHAPES.values(), ids=_SHAPES.keys())
def test_kv_cache_and_compute_buffer_equal_llama_cpp(tmp_path: Path, shape: DenseShape) -> None:
    model = write_dense(tmp_path / "model.gguf", shape)

    _assert_sizes_equal(model, _REQUESTS)


@pytest.mark.parametrize("shape", _EXPERTS.values(), ids=_EXPERTS.keys())
def test_sizes_of_a_mixture_of_experts_equal_llama_cpp(tmp_path: Path, shape: ExpertShape) -> None:
    model = write_experts(tmp_path / "model.gguf", shape)
    requests = _REQUESTS
    if shape.arch == "deepseek2":  # one cache for keys and values, and none quantised without FA
        alike = [request | {"type_v": request["type_k"]} for request in _REQUESTS]
        requests = [r for r in alike if r["type_k"] == "f16" or r["flash_attn"] != "off"]

    _assert_sizes_equal(model, requests)


@pytest.mark.parametrize("shape", (_SHAPES | _EXPERTS).values(), ids=(_SHAPES | _EXPERTS).keys())
def test_compute_buffer_for_the_logits_of_one_token_equals_llama_cpp(
    tmp_path: Path, shape: DenseShape | ExpertShape
) -> None:
    path = tmp_path / "model.gguf"
    model = (
        write_dense(path, shape) if isinstance(shape, DenseShape) else write_experts(path, shape)
    )
    few = [request | {"n_outputs": 1} for request in _REQUESTS[::5]]
    requests = [request for request in few if request["type_k"] == request["type_v"]]

    _assert_sizes_equal(model, requests)


def test_latent_attention_has_one_cache_for_keys_and_values(tmp_path: Path) -> None:
    model = write_experts(tmp_path / "model.gguf", _EXPERTS["deepseek2 as V3"])
    request = _REQUESTS[0] | {"type_k": "q8_0", "type_v": "f16"}

    with pytest.raises(UnsupportedParametersError, match="one cache"):
        _plan(model, request)


def _assert_sizes_equal(model: Path, requests: list[dict[str, Any]]) -> None:
    for request, sizes in zip(requests, llama_sizes(model, requests), strict=True):
        host = _plan(model, request).host
        planned = {
            "compute": host.compute_bytes / MIB,
            "KV": host.kv_bytes / MIB,
            "output": host.output_bytes / MIB,
        }
        found = {purpose: sizes[purpose] for purpose in planned}
        # a model with sliding windows has two caches, on two lines
        assert planned == pytest.approx(found, abs=2 * _ROUNDING_MIB, rel=0), request


@pytest.mark.parametrize("kv_unified", [False, True])
@pytest.mark.parametrize("n_seq_max", [2, 3])
def test_several_sequences_share_the_context(
    tmp_path: Path, n_seq_max: int, *, kv_unified: bool
) -> None:
    model = write_dense(tmp_path / "model.gguf", DenseShape(arch="gemma3", n_swa=512, n_layer=6))
    request = {**_REQUESTS[0], "n_ctx": 6000, "n_seq_max": n_seq_max, "kv_unified": kv_unified}

    (sizes,) = llama_sizes(model, [request])

    host = _plan(model, request).host
    assert host.kv_bytes / MIB == pytest.approx(sizes["KV"], abs=2 * _ROUNDING_MIB)
    assert host.compute_bytes / MIB == pytest.approx(sizes["compute"], abs=_ROUNDING_MIB)


def test_full_size_windows_cost_the_whole_context(tmp_path: Path) -> None:
    model = write_dense(tmp_path / "model.gguf", DenseShape(arch="gemma3", n_swa=512, n_layer=6))
    request = {**_REQUESTS[0], "n_ctx": 8192, "swa_full": True}

    (sizes,) = llama_sizes(model, [request])

    host = _plan(model, request).host
    assert host.kv_bytes / MIB == pytest.approx(sizes["KV"], abs=2 * _ROUNDING_MIB)
    assert host.compute_bytes / MIB == pytest.approx(sizes["compute"], abs=_ROUNDING_MIB)
