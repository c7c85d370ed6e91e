from __future__ import annotations

from typing import Any

from quant.vocabulary.special_tokens import find_special_tokens

_ADDED = [{"id": 1, "content": "<s>"}, {"id": 2, "content": "</s>"}, {"id": 3, "content": "<e>"}]


def _template(*single: str, pair: tuple[str, ...] = ()) -> dict[str, Any]:
    def items(names: tuple[str, ...]) -> list[dict[str, Any]]:
        return [
            {"Sequence": {"id": name}} if name in "AB" else {"SpecialToken": {"id": name}}
            for name in names
        ]

    return {"type": "TemplateProcessing", "single": items(single), "pair": items(pair)}


def _tokenizer(*processors: dict[str, Any]) -> dict[str, Any]:
    post_processor = {"type": "Sequence", "processors": list(processors)}
    return {"added_tokens": _ADDED, "post_processor": post_processor}


def test_a_template_that_begins_with_bos_adds_it() -> None:
    special = find_special_tokens(
        _tokenizer(_template("<s>", "A")), {"bos_token": "<s>", "eos_token": "</s>"}, {}
    )

    assert special.ids == {"bos": 1, "eos": 2}
    assert special.is_added == {"bos": True}


def test_a_byte_level_processor_adds_neither_unless_the_config_is_asked_first() -> None:
    special = find_special_tokens(
        _tokenizer({"type": "ByteLevel"}), {"bos_token": "<s>", "add_bos_token": True}, {}
    )

    assert special.is_added == {"bos": False, "eos": False}


def test_without_a_processor_the_tokenizer_config_decides() -> None:
    special = find_special_tokens(
        {"added_tokens": _ADDED}, {"bos_token": {"content": "<s>"}, "add_bos_token": False}, {}
    )

    assert special.ids == {"bos": 1}
    assert special.is_added == {"bos": False}


def test_a_template_that_ends_in_another_token_makes_it_eos_and_the_former_one_eot() -> None:
    special = find_special_tokens(
        _tokenizer(_template("A", "<e>")), {"eos_token": "</s>"}, {"eos_token_id": 2}
    )

    assert special.ids == {"eos": 3, "eot": 2}
    assert special.is_added == {"eos": True}


def test_eos_between_two_texts_is_a_separator() -> None:
    special = find_special_tokens(
        _tokenizer(_template("<s>", "A", pair=("<s>", "A", "</s>", "B"))),
        {"bos_token": "<s>", "eos_token": "</s>"},
        {},
    )

    assert special.is_added == {"bos": True, "sep": True}
    assert special.ids == {"bos": 1, "eos": 2, "sep": 2}


def test_config_json_fills_in_what_the_tokenizer_leaves_open() -> None:
    special = find_special_tokens(
        {"added_tokens": _ADDED},
        {"bos_token": "<s>"},
        {"bos_token_id": 7, "pad_token_id": 3, "eos_token_id": [2, 3]},
    )

    assert special.ids == {"bos": 1, "pad": 3}
