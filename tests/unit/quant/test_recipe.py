"""The parts of the mix that no test checkpoint is big enough for; the rest is in tests/oracle."""

from __future__ import annotations

from pathlib import Path

import pytest

from quant.errors import BadRequestError
from quant.families.architecture import architecture_of
from quant.families.hyperparameters import Hyperparameters, read_hyperparameters
from quant.families.tensor_map import MappedTensor
from quant.gguf.types import FileType, TensorType
from quant.recipe import choose_types, file_type_named
from quant.rows import stored_rows
from quant.source.safetensors import StoredTensor

_CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 8192,
    "intermediate_size": 28672,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "num_hidden_layers": 80,
    "vocab_size": 128256,
}


def _parameters(**changes: int) -> Hyperparameters:
    config = _CONFIG | changes
    return read_hyperparameters(config, architecture_of(config).defaults)


def _matrices(part: str, n_layer: int) -> list[MappedTensor]:
    stored = StoredTensor(Path("model.safetensors"), "any", "BF16", (1024, 8192), 0, 0)
    return [
        MappedTensor(f"blk.{bid}.{part}.weight", (1024, 8192), stored_rows(stored))
        for bid in range(n_layer)
    ]


def _types(architecture: str, parameters: Hyperparameters, file_type: FileType) -> list[TensorType]:
    typed = choose_types(
        _matrices("attn_v", parameters.n_layer), file_type, architecture, parameters
    )
    return [item.tensor_type for item in typed]


def test_seventy_billion_models_get_five_bits_where_others_get_four() -> None:
    types = _types("llama", _parameters(), FileType.Q4_K_M)

    assert set(types) == {TensorType.Q5_K, TensorType.Q6_K}


def test_a_llama_with_as_many_key_value_heads_is_no_seventy_billion_model() -> None:
    types = _types("llama", _parameters(num_key_value_heads=64), FileType.Q4_K_M)

    assert set(types) == {TensorType.Q4_K, TensorType.Q6_K}


def test_six_bits_go_to_the_first_and_last_eighth_and_every_third_between() -> None:
    types = _types("qwen2", _parameters(num_hidden_layers=28), FileType.Q4_K_M)

    with_six_bits = [bid for bid, kind in enumerate(types) if kind is TensorType.Q6_K]
    assert with_six_bits == [0, 1, 2, 5, 8, 11, 14, 17, 20, 23, 24, 25, 26, 27]


def test_tensors_of_a_mix_are_sorted_by_layer_number_not_by_text() -> None:
    parameters = _parameters(num_hidden_layers=11)
    shuffled = _matrices("attn_v", 11)[::-1]

    typed = choose_types(shuffled, FileType.Q4_0, "llama", parameters)

    assert [item.tensor.name for item in typed] == [f"blk.{n}.attn_v.weight" for n in range(11)]


@pytest.mark.parametrize("name", ["q4_k_m", "Q4_K_M", "Q4_k_M"])
def test_types_are_named_in_any_case(name: str) -> None:
    assert file_type_named(name) is FileType.Q4_K_M


def test_an_unknown_type_lists_the_known_ones() -> None:
    with pytest.raises(BadRequestError, match="F32, F16, BF16, Q8_0, Q4_0, Q4_K_S, Q4_K_M"):
        file_type_named("q3_k_xxl")
