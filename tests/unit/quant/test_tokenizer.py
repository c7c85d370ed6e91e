"""What the test checkpoints' own tokenizers do not have; the rest is held against llama.cpp."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from quant.families.architecture import architecture_of
from quant.families.hyperparameters import read_hyperparameters
from quant.gguf.key_values import KeyValues
from quant.source.checkpoint import Checkpoint
from quant.vocabulary.byte_level import TokenType
from quant.vocabulary.tokenizer import add_tokenizer
from tests.support.checkpoint_zoo import change_json, write_checkpoint, write_json


def _metadata(directory: Path) -> dict[str, Any]:
    config = json.loads((directory / "config.json").read_text())
    architecture = architecture_of(config)
    parameters = read_hyperparameters(config, architecture.defaults)
    key_values = KeyValues()
    add_tokenizer(key_values, Checkpoint(directory, config, {}), architecture, parameters)
    return {key: typed.value for key, typed in key_values.items.items()}


@pytest.mark.parametrize(
    ("token", "text", "expected"),
    [
        ({"content": "<tool>", "special": True}, "<tool>", TokenType.CONTROL),
        ({"content": "<tool>", "special": False}, "<tool>", TokenType.USER_DEFINED),
        ({"content": "<|tool|>", "special": False}, "<|tool|>", TokenType.CONTROL),
        ({"content": "a\u2581b", "special": False}, "a b", TokenType.USER_DEFINED),
        ({"content": "<named>", "special": False}, "<named>", TokenType.CONTROL),
    ],
)
def test_an_added_token_has_the_type_it_claims_or_looks_like(
    token: dict[str, Any], text: str, expected: TokenType, tmp_path: Path
) -> None:
    directory = write_checkpoint("llama3", tmp_path)
    tokenizer = json.loads((directory / "tokenizer.json").read_text())
    tokenizer["added_tokens"].append(token | {"id": 1024})
    write_json(directory / "tokenizer.json", tokenizer)
    change_json(directory / "tokenizer_config.json", additional_special_tokens=["<named>"])

    metadata = _metadata(directory)

    assert metadata["tokenizer.ggml.tokens"][1024] == text
    assert metadata["tokenizer.ggml.token_type"][1024] == expected
    assert metadata["tokenizer.ggml.tokens"][1025] == "[PAD1025]"
    assert metadata["tokenizer.ggml.token_type"][1025] == TokenType.UNUSED


@pytest.mark.parametrize(
    "changes",
    [
        {"additional_special_tokens": ["</think>"]},
        {"extra_special_tokens": ["</think>"]},
        {"extra_special_tokens": {"end_of_thought": "</think>"}},
        {"end_of_thought_token": "</think>"},
        {"end_of_thought_token": {"content": "</think>", "special": False}},
    ],
)
def test_a_token_that_is_special_only_by_its_config_is_a_control_token(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    directory = write_checkpoint("r1_nano", tmp_path)
    place = _metadata(directory)["tokenizer.ggml.tokens"].index("</think>")
    before = _metadata(directory)["tokenizer.ggml.token_type"][place]
    change_json(directory / "tokenizer_config.json", **changes)

    after = _metadata(directory)["tokenizer.ggml.token_type"][place]

    assert (before, after) == (TokenType.USER_DEFINED, TokenType.CONTROL)


def test_merges_in_the_old_and_the_new_notation_are_the_same(tmp_path: Path) -> None:
    directory = write_checkpoint("r1_nano", tmp_path)
    new = _metadata(directory)["tokenizer.ggml.merges"]
    tokenizer = json.loads((directory / "tokenizer.json").read_text())
    tokenizer["model"]["merges"] = [" ".join(pair) for pair in tokenizer["model"]["merges"]]
    write_json(directory / "tokenizer.json", tokenizer)

    assert _metadata(directory)["tokenizer.ggml.merges"] == new


def test_a_llama_with_smollms_vocabulary_never_adds_bos(tmp_path: Path) -> None:
    directory = write_checkpoint("llama3", tmp_path)
    change_json(directory / "config.json", vocab_size=49152)

    assert _metadata(directory)["tokenizer.ggml.add_bos_token"] is False


def test_a_llama_says_whether_a_space_is_put_before_the_text(tmp_path: Path) -> None:
    directory = write_checkpoint("llama3", tmp_path)
    change_json(directory / "tokenizer_config.json", add_prefix_space=False)

    metadata = _metadata(directory)

    assert next(iter(metadata.items())) == ("tokenizer.ggml.add_space_prefix", False)


def test_named_templates_stand_beside_the_default_one(tmp_path: Path) -> None:
    directory = write_checkpoint("llama3", tmp_path)
    (directory / "additional_chat_templates").mkdir()
    (directory / "additional_chat_templates" / "tool use.jinja").write_text("tools")

    metadata = _metadata(directory)

    assert metadata["tokenizer.chat_template.tool_use"] == "tools"
    assert metadata["tokenizer.chat_templates"] == ["tool_use"]
    assert metadata["tokenizer.chat_template"].startswith("{%- if not add_generation")


def test_a_template_in_the_tokenizers_config_outranks_one_in_a_file(tmp_path: Path) -> None:
    directory = write_checkpoint("llama3", tmp_path)
    change_json(directory / "tokenizer_config.json", chat_template="ours")

    assert _metadata(directory)["tokenizer.chat_template"] == "ours"
