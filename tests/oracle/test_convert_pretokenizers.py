"""Ways of cutting text that no test checkpoint has: llama.cpp against the `tokenizers` library.

The patterns are those that llama.cpp notes as the originals (src/llama-vocab.cpp, next to its own).
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from quant.pipeline import convert
from tests.support.checkpoint_llama import llama_tokenise
from tests.support.checkpoint_zoo import write_checkpoint, write_json

_GPT_4O = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_TEXTS = [
    "What is 12 + 8 * 3? It's 12345678, HTTPServer said; we'LL see.",
    "camelCase PascalCase ALLCAPS mIxEd O'Neill don't WE'RE",
    "  leading and   inner   blanks   \n\n\ttabs/paths//and/\r\n",
    'def f(x: int) -> str:\n    return f"{x!r}"  # done\n',
    "我想在家里运行推理模型。Größe, naïveté, Привет, мир! こんにちは 안녕 مرحبا",
    "🙂🚀👩‍👩‍👧‍👦 ✅",
]


@pytest.mark.parametrize(
    ("pattern", "ignores_merges"), [(_GPT_4O, False), (_TEKKEN, True)], ids=["gpt-4o", "tekken"]
)
def test_llama_cpp_encodes_as_the_checkpoints_own_tokenizer(
    pattern: str, ignores_merges: bool, tmp_path: Path
) -> None:
    source = write_checkpoint("odd_rows", tmp_path)
    document = json.loads((source / "tokenizer.json").read_text(encoding="utf-8"))
    document["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = pattern
    document["model"]["ignore_merges"] = ignores_merges
    write_json(source / "tokenizer.json", document)
    own = Tokenizer.from_file(str(source / "tokenizer.json"))

    convert(source, tmp_path / "ours.gguf", file_type="F16")

    theirs = llama_tokenise(tmp_path / "ours.gguf", _TEXTS)
    expected = [own.encode(text).ids for text in _TEXTS]
    assert dict(zip(_TEXTS, theirs, strict=True)) == dict(zip(_TEXTS, expected, strict=True))
