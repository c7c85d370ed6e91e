"""DeepSeek: FP8 checkpoints against a decoder written from the standard, and what is told.

The checkpoint is the family's own small one with each projection as codes and a scale per block of
128 x 128, as DeepSeek publishes V3 and R1; its matrices are no multiples of the block.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt

from quant.blueprint import dry_run
from quant.pipeline import convert
from tests.support.checkpoint_families import read_family, write_family
from tests.support.checkpoint_files import (
    StoredArray,
    describe_gguf,
    read_safetensors,
    seeded_array,
    seeded_codes,
    write_safetensors,
)
from tests.support.checkpoint_zoo import R1_NANO, change_json, write_json

_BLOCK = 128
_LAYER = "model.layers.2."
_R1_CONFIG = {
    "architectures": ["DeepseekV3ForCausalLM"],
    "first_k_dense_replace": 3,
    "hidden_size": 7168,
    "intermediate_size": 18432,
    "kv_lora_rank": 512,
    "max_position_embeddings": 163840,
    "moe_intermediate_size": 2048,
    "n_group": 8,
    "n_routed_experts": 256,
    "n_shared_experts": 1,
    "num_attention_heads": 128,
    "num_experts_per_tok": 8,
    "num_hidden_layers": 61,
    "num_key_value_heads": 128,
    "q_lora_rank": 1536,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "rope_theta": 10000,
    "topk_group": 4,
    "v_head_dim": 128,
    "vocab_size": 129280,
}


def test_values_of_an_fp8_checkpoint_are_codes_times_scales(tmp_path: Path) -> None:
    source, weights = _write_fp8(tmp_path)
    config = read_family("deepseek_v3")["config"]

    convert(source, tmp_path / "wide.gguf", file_type="F32")

    tensors = _tensors(tmp_path / "wide.gguf")
    np.testing.assert_array_equal(
        tensors["blk.2.attn_q_b.weight"], weights[_LAYER + "self_attn.q_b_proj.weight"]
    )
    for part in ("gate", "up", "down"):
        experts = [
            weights[f"{_LAYER}mlp.experts.{xid}.{part}_proj.weight"]
            for xid in range(config["n_routed_experts"])
        ]
        np.testing.assert_array_equal(tensors[f"blk.2.ffn_{part}_exps.weight"], np.stack(experts))


def test_what_unfolds_the_latent_of_an_fp8_checkpoint_is_cut_in_two(tmp_path: Path) -> None:
    source, weights = _write_fp8(tmp_path)
    config = read_family("deepseek_v3")["config"]
    n_key, n_value = config["qk_nope_head_dim"], config["v_head_dim"]

    convert(source, tmp_path / "wide.gguf", file_type="F32")

    tensors = _tensors(tmp_path / "wide.gguf")
    keys, values = tensors["blk.2.attn_k_b.weight"], tensors["blk.2.attn_v_b.weight"]
    unfolding = weights[_LAYER + "self_attn.kv_b_proj.weight"]
    for head in range(config["num_attention_heads"]):
        of_head = unfolding[head * (n_key + n_value) :][: n_key + n_value]
        np.testing.assert_array_equal(keys[head].T, of_head[:n_key])
        np.testing.assert_array_equal(values[head], of_head[n_key:])


def test_the_layer_that_is_left_out_is_told(tmp_path: Path) -> None:
    source = write_family("deepseek_v3", tmp_path)

    result = convert(source, tmp_path / "plain.gguf", file_type="BF16")

    n_left_out = len(read_family("deepseek_v3")["unused"])
    assert len(result.notices) == 1
    assert f"predicts further tokens is left out ({n_left_out} tensors)" in result.notices[0]


def test_experts_are_chosen_by_sigmoid_where_the_config_takes_that_for_granted(
    tmp_path: Path,
) -> None:
    # transformers knows no other for V3, and llama.cpp would assume softmax
    source = write_family("deepseek_v3", tmp_path)
    change_json(source / "config.json", scoring_func=None)

    convert(source, tmp_path / "plain.gguf", file_type="BF16")

    expected = read_family("deepseek_v3")["bf16"]["metadata"]
    assert describe_gguf(tmp_path / "plain.gguf")["metadata"] == expected


def test_the_config_of_r1_makes_the_published_number_of_weights(tmp_path: Path) -> None:
    for path in (R1_NANO / "tokenizer.json", R1_NANO / "tokenizer_config.json"):
        shutil.copyfile(path, tmp_path / path.name)
    write_json(tmp_path / "config.json", _R1_CONFIG)

    plan = dry_run(tmp_path, tmp_path / "r1.gguf", file_type="Q8_0")

    # llama.cpp says 671.03 B when it loads R1
    assert plan.n_params == 671_026_419_200
    assert len(plan.tensors) == 3 + 61 * 10 + 3 * 3 + 58 * 8


def test_groups_that_llama_cpp_ranks_otherwise_are_told(tmp_path: Path) -> None:
    source = write_family("deepseek_lite", tmp_path)
    change_json(source / "config.json", topk_method="group_limited_greedy")

    result = convert(source, tmp_path / "plain.gguf", file_type="BF16")

    assert [notice for notice in result.notices if "ranks groups of experts" in notice]


def _tensors(path: Path) -> dict[str, Any]:
    return {tensor.name: tensor.data for tensor in gguf.GGUFReader(path).tensors}


def _write_fp8(parent: Path) -> tuple[Path, dict[str, npt.NDArray[np.float32]]]:
    """The checkpoint, and its projections decoded."""
    source = write_family("deepseek_v3", parent)
    fp8 = {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [_BLOCK, _BLOCK]}
    change_json(source / "config.json", quantization_config=fp8)
    arrays = read_safetensors(source / "model.safetensors")
    weights = {}
    for seed, name in enumerate(list(arrays)):
        if "_proj" not in name or not name.endswith("weight"):
            continue
        n_rows, n_cols = arrays[name].shape
        n_blocks = (-(-n_rows // _BLOCK), -(-n_cols // _BLOCK))
        codes, scales = seeded_codes(seed, (n_rows, n_cols)), seeded_array(seed, "F32", n_blocks)
        arrays |= {name: codes, f"{name}_scale_inv": scales}
        weights[name] = _decoded(codes, scales)
    write_safetensors(source / "model.safetensors", arrays)
    return source, weights


def _decoded(codes: StoredArray, scales: StoredArray) -> npt.NDArray[np.float32]:
    """By the definition: OCP 8-bit floating point, E4M3."""
    bits: Any = np.frombuffer(codes.data, np.uint8).reshape(codes.shape).astype(np.int32)
    sign, exponent, mantissa = 1 - 2 * (bits >> 7), bits >> 3 & 15, bits & 7
    small, large = mantissa * 2.0**-9, (8 + mantissa) * 2.0 ** (exponent - 10)
    values: npt.NDArray[np.float32] = (sign * np.where(exponent == 0, small, large)).astype("<f4")
    factors = np.frombuffer(scales.data, np.float32).reshape(scales.shape)
    for row in range(codes.shape[0]):
        for block in range(scales.shape[1]):
            values[row, block * _BLOCK : (block + 1) * _BLOCK] *= factors[row // _BLOCK, block]
    return values
