"""What is never quantised, and families with rules of their own, against llama.cpp's quantiser.

A dry run looks at names and shapes only, so one file can have the names of many families.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from quant.families.tensor_map import MappedTensor
from quant.gguf.types import FileType
from quant.recipe import ModelFacts, choose_types_of_gguf
from quant.recipe.kept import is_quantisable
from quant.rows import stored_rows
from quant.source.safetensors import StoredTensor
from tests.support.gguf_llama_types import TypeRequest, llama_types
from tests.support.gguf_writer import I8, Value, write_model

_KEPT_PARTS = """
    attn_norm ffn_norm ffn_gate_inp ffn_gate_tid2eid altup_proj altup_router laurel_l
    laurel_post_norm per_layer_model_proj ssm_conv1d ssm_conv1d_q shortconv.conv indexer.k_proj
    indexer.q_proj time_mix_first time_mix_w0 time_mix_w1 time_mix_w2 time_mix_v0 time_mix_v1
    time_mix_v2 time_mix_a0 time_mix_a1 time_mix_a2 time_mix_g1 time_mix_g2 time_mix_decay_w1
    time_mix_decay_w2 time_mix_lerp_fused attn_rel_b a.position_embd v.rel_pos v.patch_embd
    v.patch_merger
"""
_OTHER_PARTS = """
    attn_q_a attn_q_b attn_k_b attn_v_b attn_kv_a_mqa attn_kv_b attn_qkv attn_v attn_k attn_q
    attn_output cross_attn_v cross_attn_output ffn_down ffn_up ffn_gate ffn_down_exps ffn_up_exps
    ffn_down_shexp ffn_gate_inp_shexp nextn.eh_proj hc_attn indexer.proj indexer.attn_k
    indexer.attn_q_b indexer_compressor_gate indexer_compressor_ape ssm_f_a ssm_f_b ssm_g_a ssm_g_b
    ssm_beta ssm_in ssm_out time_mix_key per_layer_inp_gate
"""
_OUTER = """
    token_embd per_layer_token_embd output_norm position_embd token_types sam.pos_embd sam.neck.0
    sam.net_2 a.rvq.codebook mm.a.code_embd enc.output_norm
"""

_FAMILIES: dict[str, dict[str, Value]] = {
    "llama": {},
    "olmo": {},
    "deci": {},
    "gemma3n": {},
    "falcon": {},
    "glm5-next": {
        "kda.head_dim": 64, "hyper_connection.count": 4,
        "hyper_connection.sinkhorn_iterations": 2, "hyper_connection.epsilon": 1e-6,
        "attention.indexer.head_count": 4, "attention.indexer.key_length": 64,
        "attention.indexer.top_k": 8, "attention.indexer.kpool": 4,
    },
    "bailingmoe3": {
        "kda.head_dim": 64, "kda.safe_gate": True, "kda.gate_lower_bound": -1.0,
        "expert_gating_func": 2, "leading_dense_block_count": 1,
    },
}  # fmt: skip
_FILE_TYPES = (FileType.Q4_0, FileType.Q4_K_M, FileType.IQ4_XS, FileType.MXFP4_MOE)
_N_LAYER = 80


@pytest.mark.parametrize("architecture", _FAMILIES)
def test_every_family_is_treated_as_llama_cpp_treats_it(architecture: str, tmp_path: Path) -> None:
    dims = dict(_tensors())
    path = write_model(
        tmp_path / "names.gguf",
        _key_values(architecture),
        {name: (sizes, I8) for name, sizes in dims.items()},
    )
    requests = [TypeRequest(str(path), file_type) for file_type in _FILE_TYPES]

    theirs = llama_types(requests)

    facts = ModelFacts(architecture, _N_LAYER, 8, 2)
    tensors = [_mapped(name, sizes[::-1]) for name, sizes in dims.items()]
    for file_type, expected in zip(_FILE_TYPES, theirs, strict=True):
        typed = choose_types_of_gguf(tensors, file_type, facts)
        types = {item.tensor.name: item.tensor_type.name for item in typed}
        assert {name: kind for name, kind in types.items() if kind != "I8"} == expected


def test_names_meant_to_be_kept_are_kept() -> None:
    kept = [f"blk.1.{part}.weight" for part in _KEPT_PARTS.split()]

    assert not any(is_quantisable(name, (4, 4), "llama") for name in kept)


def _tensors() -> list[tuple[str, tuple[int, ...]]]:
    inner = [
        (f"blk.{bid}.{part}.weight", (256, 4, 2) if part.endswith(("exps", "_b")) else (256, 4))
        for bid in (0, 1, 40, 79)
        for part in (_KEPT_PARTS + _OTHER_PARTS).split()
    ]
    return [
        *((f"{part}.weight", (256, 4)) for part in _OUTER.split()),
        ("blk.0.one_row.weight", (256, 1)),
        ("blk.0.ffn_up_exps.bias", (256, 4)),
        ("blk.0.no_weights", (256, 4)),
        *inner,
    ]


def _mapped(name: str, shape: tuple[int, ...]) -> MappedTensor:
    return MappedTensor(name, shape, stored_rows(StoredTensor(Path(), name, "I8", shape, 0, 0)))


def _key_values(architecture: str) -> dict[str, Value]:
    values: dict[str, Value] = {
        "block_count": _N_LAYER,
        "context_length": 64,
        "embedding_length": 256,
        "feed_forward_length": 256,
        "attention.head_count": 8,
        "attention.head_count_kv": 2,
        "attention.key_length_mla": 64,
        "attention.value_length_mla": 64,
        "attention.q_lora_rank": 64,
        "attention.kv_lora_rank": 64,
        "attention.sliding_window": 16,
        "attention.layer_norm_rms_epsilon": 1e-6,
        "attention.layer_norm_epsilon": 1e-6,
        "expert_feed_forward_length": 64,
        "expert_shared_count": 1,
        "ssm.conv_kernel": 4,
        "vocab_size": 8,
    }
    named = {f"{architecture}.{key}": value for key, value in values.items()}
    own = {f"{architecture}.{key}": value for key, value in _FAMILIES[architecture].items()}
    return {"general.architecture": architecture, **named, **own}
