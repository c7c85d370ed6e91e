from __future__ import annotations

from dataclasses import replace

import pytest

from localr1.catalogue.entry import find_entry
from localr1.catalogue.header import card_of, chosen_type
from localr1.catalogue.siblings import smaller_siblings
from localr1.model_facts.card import ModelCard


def model(name: str) -> ModelCard:
    entry, _ = find_entry(name)
    return card_of(entry, chosen_type(entry, None))


def test_smaller_models_of_the_family_come_largest_first() -> None:
    names = [card.name for card in smaller_siblings(model("qwen3:14b"))]

    assert names == ["qwen3:8b", "qwen3:4b", "qwen3:1.7b", "qwen3:0.6b"]


def test_a_file_is_known_by_the_name_of_its_repository() -> None:
    card = replace(model("qwen2.5:7b"), name="DeepSeek R1 Distill Qwen 7B")

    assert [other.name for other in smaller_siblings(card)] == ["deepseek-r1:1.5b"]


@pytest.mark.parametrize("name", ["My own model", ""])
def test_what_the_catalogue_does_not_have_has_no_siblings(name: str) -> None:
    assert not [*smaller_siblings(replace(model("qwen2.5:7b"), name=name))]


def test_a_name_alone_is_not_enough() -> None:
    card = replace(model("qwen3:8b"), name="DeepSeek-R1-Distill-Qwen-7B")

    assert not [*smaller_siblings(card)]
