"""The tokenizer check: silent where both sides agree, loud where somebody broke the GGUF."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from localr1.errors import TokenizerDiffersError
from localr1.verify.before import check_tokenizer, require_same
from localr1.verify.frames import TokenizerReport
from localr1.verify.texts import plain_texts
from quant.blueprint import draw
from quant.gguf.key_values import KeyValues, TypedValue
from quant.gguf.types import FileType
from quant.source.checkpoint import open_checkpoint
from tests.support.checkpoint_families import write_family
from tests.support.checkpoint_zoo import write_checkpoint
from tests.support.pre_tokenizers import PRE_TOKENIZERS, trained_model, write_with_cut

Breakage = Callable[[dict[str, TypedValue]], None]


def _report(directory: Path, breakage: Breakage | None = None) -> TokenizerReport:
    source = open_checkpoint(directory)
    plan = draw(source, FileType.F16, directory / "m.gguf", split_bytes=None)
    if breakage is not None:
        breakage(plan.key_values.items)
    return check_tokenizer(source, plan)


def _swapped_tokens(items: dict[str, TypedValue]) -> None:
    tokens = items["tokenizer.ggml.tokens"]
    assert isinstance(tokens.value, list)
    swap = {"a": "e", "e": "a"}
    swapped = [swap.get(str(text), str(text)) for text in tokens.value]
    items["tokenizer.ggml.tokens"] = replace(tokens, value=swapped)


def _another_cut(items: dict[str, TypedValue]) -> None:
    items["tokenizer.ggml.pre"] = replace(items["tokenizer.ggml.pre"], value="smollm")


def _lost_merges(items: dict[str, TypedValue]) -> None:
    merges = items["tokenizer.ggml.merges"]
    assert isinstance(merges.value, list)
    items["tokenizer.ggml.merges"] = replace(merges, value=merges.value[:-10])


@pytest.mark.parametrize("kind", ["r1_nano", "llama3", "odd_rows"])
def test_our_own_byte_level_vocabularies_agree(kind: str, tmp_path: Path) -> None:
    source = write_checkpoint(kind, tmp_path)

    report = _report(source)

    require_same(report)
    assert report.reader == "tokenizers"
    assert report.n_texts > 2000
    assert report.line() == (
        f"tokenizer: {report.n_texts:,} of {report.n_texts:,} texts as the library tokenizers does"
    )


@pytest.mark.parametrize("has_json", [True, False])
def test_sentencepiece_vocabularies_agree_read_from_either_file(
    has_json: bool, tmp_path: Path
) -> None:
    source = write_family("mistral", tmp_path)
    if not has_json:
        (source / "tokenizer.json").unlink()

    report = _report(source)

    require_same(report)
    assert report.reader == ("tokenizers" if has_json else "sentencepiece")
    assert report.n_texts >= 2000


@pytest.mark.parametrize("breakage", [_swapped_tokens, _another_cut, _lost_merges])
def test_a_broken_vocabulary_is_caught_with_an_example(breakage: Breakage, tmp_path: Path) -> None:
    source = write_checkpoint("r1_nano", tmp_path)

    report = _report(source, breakage)

    assert report.n_different > 0
    assert report.text
    assert report.in_gguf != report.in_checkpoint
    with pytest.raises(
        TokenizerDiffersError, match=r"would encode [\d,]+ of 2,0\d\d texts"
    ) as told:
        require_same(report)
    assert told.value.exit_code == 6
    assert len(told.value.message) < 400
    assert "--force" in told.value.hint


def test_a_broken_sentencepiece_vocabulary_is_caught(tmp_path: Path) -> None:
    source = write_family("mistral", tmp_path)

    def no_blank_in_front(items: dict[str, TypedValue]) -> None:
        KeyValues(items).flag("tokenizer.ggml.add_space_prefix", False)

    assert _report(source, no_blank_in_front).n_different > 1000


def test_a_source_without_a_tokenizer_file_is_passed_over(tmp_path: Path) -> None:
    source = open_checkpoint(write_checkpoint("r1_nano", tmp_path))
    plan = draw(source, FileType.F16, tmp_path / "m.gguf", split_bytes=None)
    (source.directory / "tokenizer.json").unlink()

    report = check_tokenizer(source, plan)

    require_same(report)
    assert report.line() == "tokenizer not compared: the source has no tokenizer file"


def test_a_checkpoints_own_truncation_is_not_taken_for_a_difference(tmp_path: Path) -> None:
    source = tmp_path / "model"
    shutil.copytree(write_checkpoint("r1_nano", tmp_path), source)
    tokenizer = json.loads((source / "tokenizer.json").read_text(encoding="utf-8"))
    tokenizer["truncation"] = {
        "direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 0,
    }  # fmt: skip
    (source / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")

    require_same(_report(source))


@pytest.mark.parametrize("name", ["gpt-4o", "deepseek-v3"])
def test_a_vocabulary_agrees_but_for_what_the_notice_says(name: str, tmp_path: Path) -> None:
    texts = plain_texts()
    source = write_with_cut(tmp_path, name, trained_model(texts, *PRE_TOKENIZERS[name][0]))
    plan = draw(open_checkpoint(source), FileType.F16, tmp_path / "m.gguf", split_bytes=None)

    report = _report(source)

    require_same(report)
    takes_words_apart = [notice for notice in plan.notices if "Hindi" in notice]
    assert bool(takes_words_apart) == (name == "gpt-4o")
    assert (report.n_texts < len(texts)) == bool(takes_words_apart)
