"""The parts of the mix that no test checkpoint is big enough for; the rest is in tests/oracle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from quant.errors import BadRequestError
from quant.families.tensor_map import MappedTensor
from quant.gguf.types import FileType, TensorType
from quant.recipe import ModelFacts, choose_types, file_type_named
from quant.rows import stored_rows
from quant.source.safetensors import StoredTensor

_LLAMA_70B = ModelFacts("llama", n_layer=80, n_head=64, n_head_kv=8)


def _matrices(part: str, n_layer: int) -> list[MappedTensor]:
    stored = StoredTensor(Path("model.safetensors"), "any", "BF16", (1024, 8192), 0, 0)
    return [
        MappedTensor(f"blk.{bid}.{part}.weight", (1024, 8192), stored_rows(stored))
        for bid in range(n_layer)
    ]


def _types(facts: ModelFacts, file_type: FileType) -> list[TensorType]:
    typed = choose_types(_matrices("attn_v", facts.n_layer), file_type, facts)
    return [item.tensor_type for item in typed]


def test_seventy_billion_models_get_five_bits_where_others_get_four() -> None:
    types = _types(_LLAMA_70B, FileType.Q4_K_M)

    assert set(types) == {TensorType.Q5_K, TensorType.Q6_K}


def test_a_llama_with_as_many_key_value_heads_is_no_seventy_billion_model() -> None:
    types = _types(replace(_LLAMA_70B, n_head_kv=64), FileType.Q4_K_M)

    assert set(types) == {TensorType.Q4_K, TensorType.Q6_K}


def test_six_bits_go_to_the_first_and_last_eighth_and_every_third_between() -> None:
    types = _types(ModelFacts("qwen2", 28, 28, 4), FileType.Q4_K_M)

    with_six_bits = [bid for bid, kind in enumerate(types) if kind is TensorType.Q6_K]
    assert with_six_bits == [0, 1, 2, 5, 8, 11, 14, 17, 20, 23, 24, 25, 26, 27]


def test_tensors_of_a_mix_are_sorted_by_layer_number_not_by_text() -> None:
    shuffled = _matrices("attn_v", 11)[::-1]

    typed = choose_types(shuffled, FileType.Q4_0, replace(_LLAMA_70B, n_layer=11))

    assert [item.tensor.name for item in typed] == [f"blk.{n}.attn_v.weight" for n in range(11)]


@pytest.mark.parametrize("name", ["q4_k_m", "Q4_K_M", "Q4_k_M"])
def test_types_are_named_in_any_case(name: str) -> None:
    assert file_type_named(name) is FileType.Q4_K_M


def test_an_unknown_type_lists_the_known_ones() -> None:
    with pytest.raises(BadRequestError, match="F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q4_K_S, Q4_K_M"):
        file_type_named("q3_k_xxl")
