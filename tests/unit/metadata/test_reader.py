"""Plans of models of which only what a log prints is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from localr1.errors import ModelFileError
from localr1.metadata.reader import Metadata, read_metadata
from localr1.model_facts.card import ModelCard
from localr1.plan.planner import make_plan
from localr1.plan.request import HostMemory, PlanRequest
from localr1.plan.weights import WeightTable
from quant.gguf.header import read_header
from tests.support.gguf_dense import DenseShape, write_dense
from tests.support.gguf_experts import ExpertShape, write_experts

_HOST = HostMemory(total_bytes=2**36, available_bytes=2**36)
_SHAPES: list[DenseShape | ExpertShape] = [
    DenseShape(arch="llama"),
    DenseShape(arch="qwen2"),
    DenseShape(arch="qwen3"),
    DenseShape(arch="gemma2", n_layer=4, n_swa=512, is_tied=True),
    DenseShape(arch="gemma3", n_layer=14, n_swa=512, is_tied=True),
    ExpertShape(arch="llama", n_expert=8, n_used=2, n_ff_exp=768),
    ExpertShape(arch="qwen2moe"),
    ExpertShape(arch="qwen3moe"),
    ExpertShape(arch="gpt-oss", n_swa=128, n_layer=4),
    ExpertShape(arch="deepseek2", n_layer=5, n_dense=2, n_ff_shared=256),
    ExpertShape(
        arch="deepseek2", n_layer=5, n_dense=2, n_lora_q=96, n_groups=4, gating=2,
        is_normalised=True, has_selection_bias=True, n_ff_shared=256,
    ),
]  # fmt: skip


def _read(**document: Any) -> Metadata:
    return read_metadata(json.dumps(document), "log")


_KV: dict[str, Any] = {
    "qwen2.block_count": 2,
    "qwen2.context_length": 4096,
    "qwen2.embedding_length": 256,
    "qwen2.feed_forward_length": 512,
    "qwen2.attention.head_count": 4,
    "qwen2.attention.head_count_kv": 2,
    "qwen2.vocab_size": 1000,
}


@pytest.mark.parametrize("shape", _SHAPES, ids=lambda shape: shape.arch)
def test_key_values_alone_give_the_plan_of_the_file(
    shape: DenseShape | ExpertShape, tmp_path: Path
) -> None:
    path = tmp_path / "model.gguf"
    if isinstance(shape, DenseShape):
        write_dense(path, shape)
    else:
        write_experts(path, shape)
    header = read_header(path)
    printed = {
        key: value
        for key, value in header.kv.items()
        if isinstance(value, bool | int | float | str) and "tokenizer" not in key
    }
    printed[f"{shape.arch}.vocab_size"] = shape.n_vocab

    metadata = _read(gguf_kv=printed, tensor_types={"f32": 9, "q8_0": 9})

    request = PlanRequest(n_ctx=2048)
    of_file = make_plan(ModelCard.from_header(header), request, (), _HOST).host
    of_log = make_plan(ModelCard.from_header(metadata.header), request, (), _HOST).host
    assert of_log.kv_bytes == of_file.kv_bytes
    assert of_log.compute_bytes == of_file.compute_bytes
    assert of_log.weights_bytes == pytest.approx(of_file.weights_bytes, rel=0.01)


def test_the_size_of_the_file_stands_in_for_a_mix_of_types() -> None:
    metadata = _read(gguf_kv=_KV, tensor_types={"q4_K": 5, "q6_K": 1}, file_bytes=10**9)

    assert metadata.knows_weights
    assert sum(tensor.n_bytes for tensor in metadata.header.tensors) == pytest.approx(
        10**9, rel=1e-4
    )


def test_types_of_a_fork_leave_the_weights_to_the_size_of_the_file() -> None:
    metadata = _read(gguf_kv=_KV, tensor_types={"iq3_k_r4": 5, "q6_K": 1}, file_bytes=10**9)

    assert metadata.knows_weights
    assert sum(tensor.n_bytes for tensor in metadata.header.tensors) == pytest.approx(10**9)
    assert "tensor type IQ3_K_R4 is unknown" in metadata.notices[-1]


def test_without_types_and_size_weights_are_unknown() -> None:
    assert not _read(gguf_kv=_KV).knows_weights


def test_values_may_be_as_a_log_prints_them() -> None:
    kv = _KV | {
        "qwen2.block_count": 2.0,
        "qwen2.expert_weights_norm": "true",
        "qwen2.attention.pattern": "[true, true, false, true, true, fal...",
        "tokenizer.ggml.tokens": "arr[str,151936]",
    }

    header = _read(gguf_kv=kv).header

    assert header.kv["qwen2.block_count"] == 2
    assert header.kv["qwen2.expert_weights_norm"] is True
    assert header.kv["qwen2.vocab_size"] == 151_936
    pattern = header.kv["qwen2.attention.pattern"]
    assert isinstance(pattern, tuple)
    assert pattern[:9] == (True, True, False) * 3


def test_a_missing_vocabulary_is_assumed_and_said() -> None:
    kv = {key: value for key, value in _KV.items() if "vocab" not in key}

    assert any("vocab_size is not given" in notice for notice in _read(gguf_kv=kv).notices)


def test_one_matrix_less_than_expected_means_tied_embeddings() -> None:
    matrices = [tensor for tensor in _read(gguf_kv=_KV).header.tensors if len(tensor.dims) > 1]

    tied = _read(gguf_kv=_KV, tensor_types={"q8_0": len(matrices) - 1}).header

    assert "output.weight" not in {tensor.name for tensor in tied.tensors}


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ("[]", "no JSON object"),
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("{}", "gguf_kv is no object"),
        ('{"gguf_kv": {"a": 1}}', "neither general.architecture nor a block_count"),
        ('{"gguf_kv": {"a.block_count": 1}}', "a.embedding_length is None"),
        (json.dumps({"gguf_kv": _KV | {"qwen2.block_count": 10**9}}), "block_count is 1000000000"),
        (json.dumps({"gguf_kv": _KV | {"qwen2.embedding_length": -1}}), "embedding_length is -1"),
        (json.dumps({"gguf_kv": _KV, "tensor_types": {"q9": 1}}), "tensor type Q9 is unknown"),
        (json.dumps({"gguf_kv": _KV, "tensor_types": 3}), "tensor_types is no object"),
        (json.dumps({"gguf_kv": _KV, "file_bytes": -1}), "file_bytes is -1"),
        (json.dumps({"gguf_kv": _KV, "devices": "rtx-4090"}), "devices is a list"),
    ],
)
def test_nonsense_is_refused_in_one_line(document: str, reason: str) -> None:
    with pytest.raises(ModelFileError, match=reason) as caught:
        read_metadata(document, "log")

    assert "\n" not in caught.value.message


def test_a_table_of_positions_is_single_precision_and_stays_on_the_host() -> None:
    """StarCoder 15B in Q5_K_M: llama.cpp printed 10769.63 MiB on the device, 390.00 beside it."""
    metadata = _read(
        gguf_kv={
            "starcoder.block_count": 40,
            "starcoder.context_length": 8192,
            "starcoder.embedding_length": 6144,
            "starcoder.feed_forward_length": 24_576,
            "starcoder.attention.head_count": 48,
            "starcoder.attention.head_count_kv": 1,
            "starcoder.vocab_size": 49_152,
        },
        file_bytes=int(10.90 * 2**30),
    )

    weights = WeightTable(ModelCard.from_header(metadata.header))

    on_device = sum(weights.gpu_bytes(layer, 0) for layer in range(41))
    assert on_device / 2**20 == pytest.approx(10_769.63, rel=0.002)


@pytest.mark.parametrize(
    ("n_layer", "n_ff", "n_tensors", "printed"),
    [(30, 8192, 727, "4.46 B"), (35, 16_384, 847, "6.87 B")],
    ids=["E2B", "E4B"],
)
def test_gemma_3n_has_as_many_tensors_and_parameters_as_llama_cpp_prints(
    n_layer: int, n_ff: int, n_tensors: int, printed: str
) -> None:
    metadata = _read(
        gguf_kv={
            "gemma3n.block_count": n_layer,
            "gemma3n.context_length": 32_768,
            "gemma3n.embedding_length": 2048,
            "gemma3n.feed_forward_length": n_ff,
            "gemma3n.attention.head_count": 8,
            "gemma3n.attention.head_count_kv": 2,
            "gemma3n.attention.key_length": 256,
            "gemma3n.attention.value_length": 256,
            "gemma3n.vocab_size": 262_144,
        },
    )

    assert len(metadata.header.tensors) == n_tensors
    assert f"{ModelCard.from_header(metadata.header).n_params / 1e9:.2f} B" == printed


def test_experts_of_a_mix_have_the_fewest_bits() -> None:
    """DeepSeek-R1 in a mix of 1.58 bits: llama.cpp printed 35892.95 MiB for 16 of its layers."""
    metadata = _read(
        gguf_kv={
            "deepseek2.block_count": 61,
            "deepseek2.context_length": 163_840,
            "deepseek2.embedding_length": 7168,
            "deepseek2.feed_forward_length": 18_432,
            "deepseek2.leading_dense_block_count": 3,
            "deepseek2.attention.head_count": 128,
            "deepseek2.attention.head_count_kv": 128,
            "deepseek2.attention.key_length": 192,
            "deepseek2.attention.value_length": 128,
            "deepseek2.attention.q_lora_rank": 1536,
            "deepseek2.attention.kv_lora_rank": 512,
            "deepseek2.expert_count": 256,
            "deepseek2.expert_used_count": 8,
            "deepseek2.expert_shared_count": 1,
            "deepseek2.expert_feed_forward_length": 2048,
            "deepseek2.expert_gating_func": 2,
            "deepseek2.vocab_size": 129_280,
        },
        tensor_types={
            "f32": 361, "q4_K": 190, "q5_K": 116, "q6_K": 184, "iq2_xxs": 6, "iq1_s": 168,
        },
        file_bytes=int(130.60 * 2**30),
    )  # fmt: skip

    weights = WeightTable(ModelCard.from_header(metadata.header))

    on_device = sum(weights.gpu_bytes(layer, 0) for layer in range(45, 61))
    assert on_device / 2**20 == pytest.approx(35_892.95, rel=0.015)


def test_old_files_of_deepseek_are_planned_too() -> None:
    """Their attention is unfolded; llama.cpp printed 19200 MiB of KV for V2.5 and 4096 tokens."""
    metadata = _read(
        gguf_kv={
            "deepseek2.block_count": 60,
            "deepseek2.context_length": 163_840,
            "deepseek2.embedding_length": 5120,
            "deepseek2.feed_forward_length": 12_288,
            "deepseek2.leading_dense_block_count": 1,
            "deepseek2.attention.head_count": 128,
            "deepseek2.attention.head_count_kv": 128,
            "deepseek2.attention.key_length": 192,
            "deepseek2.attention.value_length": 128,
            "deepseek2.attention.q_lora_rank": 1536,
            "deepseek2.attention.kv_lora_rank": 512,
            "deepseek2.expert_count": 160,
            "deepseek2.expert_used_count": 6,
            "deepseek2.expert_feed_forward_length": 1536,
            "deepseek2.vocab_size": 102_400,
        },
    )
    card = ModelCard.from_header(metadata.header)

    plan = make_plan(card, PlanRequest(n_ctx=4096, flash_attn="off"), (), _HOST, with_fixes=False)

    assert plan.host.kv_bytes == 19_200 * 2**20
    assert plan.host.compute_bytes / 2**20 == pytest.approx(1174.01, rel=0.1)
