from __future__ import annotations

from dataclasses import replace

from localr1.plan.quantisation import OFFERED_TYPES, in_smaller_types, in_types
from tests.support.plan_models import LLAMA_8B, card_of


def test_offered_types_go_from_exact_to_small() -> None:
    cards = list(in_types(card_of(LLAMA_8B), OFFERED_TYPES))

    sizes = [card.file_bytes for card in cards]
    assert [card.quant for card in cards] == list(OFFERED_TYPES)
    assert sizes == sorted(sizes, reverse=True)


def test_only_smaller_types_are_offered_to_save_memory() -> None:
    half = card_of(replace(LLAMA_8B, type_name="F16", output_type="F16"))
    small = replace(card_of(LLAMA_8B), quant="Q4_K_M")

    assert [card.quant for card in in_smaller_types(half)] == list(OFFERED_TYPES)
    assert [card.quant for card in in_smaller_types(small)] == ["IQ4_XS"]


def test_a_model_whose_types_nobody_knows_stays_as_it_is() -> None:
    card = card_of(LLAMA_8B)
    card = replace(
        card, tensors=tuple(replace(tensor, type_name="mixed") for tensor in card.tensors)
    )

    assert list(in_types(card, OFFERED_TYPES)) == []
