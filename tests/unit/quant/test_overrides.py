"""Types by name; that they count as in llama.cpp is in tests/oracle/test_recipe_choice.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from quant.errors import BadRequestError
from quant.families.tensor_map import MappedTensor
from quant.gguf.types import FileType, TensorType
from quant.recipe import ModelFacts, choose_types
from quant.recipe.overrides import TypeOverride, overridden_types, parse_override
from quant.rows import stored_rows
from quant.source.safetensors import StoredTensor


def _tensor(name: str, *shape: int) -> MappedTensor:
    return MappedTensor(name, shape, stored_rows(StoredTensor(Path(), name, "BF16", shape, 0, 0)))


_TENSORS = [
    _tensor("blk.0.attn_norm.weight", 96),
    _tensor("blk.0.attn_v.weight", 48, 96),
    _tensor("blk.0.ffn_down.weight", 96, 200),
]


def _given(*texts: str) -> dict[str, TensorType]:
    return overridden_types([parse_override(text) for text in texts], _TENSORS, "llama")


def test_an_expression_is_found_anywhere_in_a_name_in_letters_of_any_case() -> None:
    assert _given("ATTN_=q8_0") == {"blk.0.attn_v.weight": TensorType.Q8_0}


def test_the_first_expression_that_is_found_decides() -> None:
    types = _given("attn=Q8_0", "weight=F16")

    assert types["blk.0.attn_v.weight"] is TensorType.Q8_0
    assert types["blk.0.ffn_down.weight"] is TensorType.F16


def test_an_expression_may_have_equals_signs() -> None:
    assert parse_override("(?=blk)=F16") == TypeOverride("(?=blk)", TensorType.F16)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Q8_0", "not REGEX=TYPE"),
        ("=Q8_0", "not REGEX=TYPE"),
        ("attn=Q9_0", "known are F32, F16"),
        ("attn=", "cannot become ''"),
        ("a" * 201 + "=F16", "over 200"),
        ("(attn=F16", "no regular expression"),
        ("a{99999999999}=F16", "no regular expression"),
        ("attn_norm=F16", "in no name of a tensor that can have another type"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_said(text: str, message: str) -> None:
    with pytest.raises(BadRequestError, match=message):
        _given(text)


def test_an_expression_that_would_take_forever_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quant.recipe.overrides._MAX_SECONDS", 1)

    with pytest.raises(BadRequestError, match="not found in 1 s"):
        overridden_types(
            [parse_override(r"(\w+\.?)+!=F16")],
            [_tensor("blk.0.a_name_as_long_as_a_name_can_be_in_a_gguf_file.weight", 2, 2)],
            "llama",
        )


def test_a_type_that_does_not_fit_the_rows_is_an_error_that_names_the_tensor() -> None:
    facts = ModelFacts("llama", 1, 4, 4)

    with pytest.raises(BadRequestError, match=r"blk.0.ffn_down.weight cannot be Q8_0.* of 200 "):
        choose_types(_TENSORS, FileType.Q4_K_M, facts, overrides=_given("ffn_down=Q8_0"))


def test_types_by_name_hold_for_plain_files_too() -> None:
    facts = ModelFacts("llama", 1, 4, 4)

    typed = choose_types(_TENSORS, FileType.BF16, facts, overrides=_given("attn_v=Q8_0"))

    kinds = [TensorType.F32, TensorType.Q8_0, TensorType.BF16]
    assert [item.tensor_type for item in typed] == kinds
