"""The catalogue's data: complete, unique, and of the sizes that were published."""

from __future__ import annotations

import re

import pytest

from localr1.catalogue.entry import Entry, entries, find_entry, is_name
from localr1.catalogue.header import card_of
from localr1.errors import ModelNotFoundError
from quant.gguf.types import FileType

_ALL = list(entries().values())


@pytest.mark.parametrize("entry", _ALL, ids=lambda entry: entry.name)
def test_the_sizes_of_config_json_give_the_published_number_of_parameters(entry: Entry) -> None:
    file_type = FileType[entry.file_types[0]] if entry.file_types else FileType.BF16

    assert card_of(entry, file_type).n_params == entry.n_params


@pytest.mark.parametrize("entry", _ALL, ids=lambda entry: entry.name)
def test_every_model_says_where_it_is_and_what_it_is(entry: Entry) -> None:
    assert is_name(entry.name)
    assert re.fullmatch(r"[\w.-]+/[\w.-]+", entry.repository)
    assert entry.lineage.strip()
    assert entry.licence.strip()
    assert "config.json" in entry.source


def test_no_repository_is_there_twice() -> None:
    repositories = [entry.repository for entry in _ALL]

    assert sorted(set(repositories)) == sorted(repositories)


def test_the_family_of_deepseek_r1_is_complete() -> None:
    sizes = {name.partition(":")[2] for name in entries() if name.startswith("deepseek-r1:")}

    assert {"1.5b", "7b", "8b", "14b", "32b", "70b", "671b", "0528-qwen3-8b"} <= sizes


def test_a_distillation_has_the_sizes_of_what_it_was_made_from_but_not_its_context() -> None:
    distilled, base = entries()["deepseek-r1:7b"], entries()["qwen2.5:7b"]

    assert distilled.keys == {**base.keys, "context_length": 131_072}
    assert "Qwen2.5-Math-7B distilled from DeepSeek-R1" in distilled.lineage


def test_what_a_size_states_goes_before_what_it_is_like() -> None:
    assert entries()["qwen2.5:1.5b"].is_tied
    assert not entries()["deepseek-r1:1.5b"].is_tied


@pytest.mark.parametrize(
    ("text", "name", "quant"),
    [
        ("deepseek-r1:70b", "deepseek-r1:70b", None),
        ("DeepSeek-R1:32B-q4_K_M", "deepseek-r1:32b", "Q4_K_M"),
        ("qwen3:30b-a3b", "qwen3:30b-a3b", None),
        ("qwen3:30b-a3b-Q6_K", "qwen3:30b-a3b", "Q6_K"),
    ],
)
def test_a_name_may_carry_a_type(text: str, name: str, quant: str | None) -> None:
    entry, found = find_entry(text)

    assert (entry.name, found) == (name, quant)


@pytest.mark.parametrize(
    ("text", "nearest"),
    [("deepseek-r1:13b", "deepseek-r1:14b"), ("deepsek-r1:7b", "deepseek-r1:7b")],
)
def test_an_unknown_name_is_answered_with_the_nearest(text: str, nearest: str) -> None:
    with pytest.raises(ModelNotFoundError) as refused:
        find_entry(text)

    assert nearest in refused.value.hint
    assert refused.value.exit_code == 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("deepseek-r1:7b", True),
        ("qwen2.5:0.5b-q4_K_M", True),
        ("user/repo:Q4_K_M", False),
        ("model.gguf", False),
        ("C:\\models\\a.gguf", False),
    ],
)
def test_a_name_is_told_from_a_path_and_a_repository(text: str, *, expected: bool) -> None:
    assert is_name(text) is expected
