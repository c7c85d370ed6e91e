from __future__ import annotations

from pathlib import Path

import pytest

from quant.description.model_card import first_of, origins_of, read_model_card, texts_of


@pytest.mark.parametrize(
    "text", ["", "no front matter", "---\njust text\n---\n", "---\n- a\n- list\n---\n"]
)
def test_a_card_without_front_matter_is_empty(text: str, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(text)

    assert read_model_card(tmp_path) == {}


def test_no_card_at_all_is_empty(tmp_path: Path) -> None:
    assert read_model_card(tmp_path) == {}


def test_norwegian_is_a_language_and_tabs_are_blanks(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\nlanguage:\n- no\n\nversion:\t1.5\n---\n")

    card = read_model_card(tmp_path)

    assert texts_of(card, "languages", "language") == ["no"]
    assert first_of(card, "version") == "1.5"


def test_the_first_key_present_wins_and_lists_are_joined() -> None:
    card = {"model_name": "b", "license": ["mit", "apache-2.0"], "name": None}

    assert first_of(card, "name", "model_name") == "b"
    assert first_of(card, "license") == "mit,apache-2.0"
    assert first_of(card, "author") is None


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("acme/tiny-7b-v2", {"name": "Tiny 7b v2", "organization": "Acme", "version": "v2",
                             "repo_url": "https://huggingface.co/acme/tiny-7b-v2"}),
        ("https://huggingface.co/acme/tiny", {"name": "Tiny", "organization": "Acme",
                                              "repo_url": "https://huggingface.co/acme/tiny"}),
        ("https://example.org/x", {"repo_url": "https://example.org/x"}),
        ({"name": "Given", "nested": {"a": 1}}, {"name": "Given", "nested": ""}),
        (7, {}),
    ],
)  # fmt: skip
def test_an_origin_is_described_by_what_its_entry_says(
    entry: object, expected: dict[str, str]
) -> None:
    assert origins_of({"base_model": entry}, "base_model", n_params=7 * 10**9) == [expected]


def test_no_origin_key_is_not_the_same_as_none_listed() -> None:
    assert origins_of({}, "datasets", n_params=0) is None
    assert origins_of({"datasets": []}, "datasets", n_params=0) == []
