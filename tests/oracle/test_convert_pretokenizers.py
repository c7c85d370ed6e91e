"""Every way of cutting text that we have a name for: llama.cpp against the `tokenizers` library.

The vocabularies are trained on the texts themselves without any cut, so that merges reach across
every border: a cut that one side does not make shows in the ids.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer

from quant.pipeline import convert
from tests.support.checkpoint_files import describe_gguf
from tests.support.checkpoint_llama import llama_tokenise
from tests.support.pre_tokenizers import (
    BYTES,
    DIGITS,
    PRE_TOKENIZERS,
    trained_model,
    write_with_cut,
)

_TEXTS = [
    "What is 12 + 8 * 3? It's 12345678, HTTPServer said; we'LL see.",
    "camelCase PascalCase ALLCAPS mIxEd O'Neill don't WE'RE they'Ve I'D",
    "  leading and   inner   blanks   \n\n\ttabs/paths//and/\r\n  \n x",
    'def f(x: int) -> str:\n    return f"{x!r}"  # done\n\n\nclass A:\n\tpass',
    "我想在家里运行推理模型。Größe, naïveté, Привет, мир! こんにちは カタカナー 안녕 مرحبا",
    "🙂🚀👩‍👩‍👧‍👦 ✅ ½ ² ⅷ ٣٤ १२३",
    "a=b; c->d ::e <f> [g] {h} (i) $j @k #l %m ^n &o *p ~q `r` |s| \\t/u 'v' \"w\"",
    "，全角：标点！“quotes”—dash… end ",
    "1 12 123 1234 12345 123456 1234567 3.14159 1,000,000 2024-05-06",
]
_MARKED_TEXT = "नमस्ते ก็ e\u0301"
_KNOWS_NO_MARKS = {"gpt-4o", "tekken"}
"""Where llama.cpp writes the pattern without accents that are characters of their own."""


@pytest.mark.parametrize("name", list(PRE_TOKENIZERS))
def test_llama_cpp_encodes_as_the_checkpoints_own_tokenizer(name: str, tmp_path: Path) -> None:
    steps = (DIGITS, BYTES) if name == "deepseek-llm" else (BYTES,)
    model = trained_model([*_TEXTS, _MARKED_TEXT], *steps)
    source = write_with_cut(tmp_path, name, model)
    own = Tokenizer.from_file(str(source / "tokenizer.json"))

    convert(source, tmp_path / "ours.gguf", file_type="F16")

    stated = describe_gguf(tmp_path / "ours.gguf")["metadata"]["tokenizer.ggml.pre"]
    assert stated == f'STRING "{name}"'
    texts = _TEXTS if name in _KNOWS_NO_MARKS else [*_TEXTS, _MARKED_TEXT]
    theirs = llama_tokenise(tmp_path / "ours.gguf", texts)
    expected = [own.encode(text).ids for text in texts]
    assert dict(zip(texts, theirs, strict=True)) == dict(zip(texts, expected, strict=True))


def test_taking_tokens_whole_changes_nothing_where_merging_builds_all_of_them(
    tmp_path: Path,
) -> None:
    # llama.cpp merges always under this name, the tokenizer takes pieces that are tokens as such
    model = trained_model(_TEXTS, BYTES)
    source = write_with_cut(tmp_path, "gpt-4o", model, ignore_merges=True)
    own = Tokenizer.from_file(str(source / "tokenizer.json"))

    convert(source, tmp_path / "ours.gguf", file_type="F16")

    theirs = llama_tokenise(tmp_path / "ours.gguf", _TEXTS)
    assert theirs == [own.encode(text).ids for text in _TEXTS]
