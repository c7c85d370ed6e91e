"""Expected parts are what gguf-py's get_model_id_components answers for the same id and size."""

from __future__ import annotations

import pytest

from quant.description.model_name import NameParts, size_label_of, split_model_id, title_of


@pytest.mark.parametrize(
    ("model_id", "n_params", "expected"),
    [
        ("DeepSeek-R1-Distill-Qwen-1.5B", 1777088000,
         NameParts("DeepSeek-R1-Distill-Qwen-1.5B", basename="DeepSeek-R1-Distill-Qwen",
                   size_label="1.5B")),
        ("Qwen/Qwen2.5-14B-Instruct-1M", 14770033664,
         NameParts("Qwen2.5-14B-Instruct-1M", "Qwen", "Qwen2.5", "Instruct-1m", None, "14B")),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", 46702792704,
         NameParts("Mixtral-8x7B-Instruct-v0.1", "mistralai", "Mixtral", "Instruct", "v0.1",
                   "8x7B")),
        ("bigscience/bloom-7b1", 7069016064,
         NameParts("bloom-7b1", "bigscience", "bloom", None, None, "7.1B")),
        ("phi-2-Q4_K-small", 2779683840,
         NameParts("phi-2-Q4_K-small", None, "phi-2", None, None, "small")),
        ("r1-nano", 5248000, NameParts("r1-nano")),
        ("./x-7B", 7000000000, NameParts("x-7B", None, "x", None, None, "7B")),
        ("a model of mine", 1, NameParts("a model of mine")),
    ],
)  # fmt: skip
def test_a_model_id_comes_apart_as_in_llama_cpp(
    model_id: str, n_params: int, expected: NameParts
) -> None:
    assert split_model_id(model_id, n_params) == expected


@pytest.mark.parametrize(
    ("n_params", "expected"),
    [(5248000, "5.2M"), (1777088000, "1.8B"), (70553706496, "71B"), (3550, "3.6K"),
     (10**6, "1000K")],
)  # fmt: skip
def test_a_size_label_has_two_significant_digits(n_params: int, expected: str) -> None:
    assert size_label_of(n_params) == expected


def test_a_title_capitalises_words_and_leaves_versions_and_acronyms() -> None:
    assert title_of("deepSeek-r1-v2-7b-chat-GGUF") == "deepSeek R1 v2 7b Chat GGUF"
