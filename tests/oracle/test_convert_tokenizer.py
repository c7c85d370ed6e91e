"""llama.cpp's tokenizer on our GGUF against the `tokenizers` library on tokenizer.json."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer

from quant.pipeline import convert
from tests.support.checkpoint_llama import llama_tokenise
from tests.support.checkpoint_zoo import write_checkpoint

_TEXTS = [
    "",
    "What is 12 + 8 * 3?",
    "The quick brown fox doesn't jump; it'LL sleep, we'Re told.",
    "  leading, trailing and   inner   blanks   ",
    "tabs\tand\n\nempty\r\nlines\n   \n",
    "0 12 345 6789 1234567890 3.14159 ٣ ⅷ",
    'def f(x: int) -> str:\n    return f"{x!r}"  # done\n',
    "if (a != b && c[0] >= 1) { x += 2; } // ------",
    "我想在家里运行推理模型。今天天气怎么样？",
    "Größe, naïveté, ångström, ½ cup",
    "Привет, мир! こんにちは世界 안녕하세요 مرحبا",
    "🙂🚀👩‍👩‍👧‍👦 🇩🇪 ✅ zero\u200bwidth",
    "<｜User｜>hello<｜Assistant｜><think>\nwell</think>\n\n42<｜end▁of▁sentence｜>",
    "almost <think or </ think> or <｜User|>",
    "a" * 300 + "é" * 50 + "\u00a0\u3000",
]  # fmt: skip


@pytest.mark.parametrize("kind", ["r1_nano", "llama3"])
def test_llama_cpp_encodes_as_the_checkpoints_own_tokenizer(kind: str, tmp_path: Path) -> None:
    source = write_checkpoint(kind, tmp_path)
    own = Tokenizer.from_file(str(source / "tokenizer.json"))

    convert(source, tmp_path / "ours.gguf", file_type="F16")

    theirs = llama_tokenise(tmp_path / "ours.gguf", _TEXTS)
    expected = [own.encode(text).ids for text in _TEXTS]
    assert dict(zip(_TEXTS, theirs, strict=True)) == dict(zip(_TEXTS, expected, strict=True))
