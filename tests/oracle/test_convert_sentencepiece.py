"""llama.cpp's tokenizer on our GGUF against the `tokenizers` library, for SentencePiece models.

tokenizer.json was made from tokenizer.model by transformers; both must lead to the same ids.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer

from quant.pipeline import convert
from quant.vocabulary.sentencepiece_model import read_pieces
from tests.support.checkpoint_families import SENTENCEPIECE, write_family
from tests.support.checkpoint_llama import llama_tokenise

_TEXTS = [
    "",
    "The conversion writes every tensor once.",
    "a few slabs of 2^20 weights per thread; 1234567890 3.14159",
    "  leading, trailing and   inner   blanks   ",
    "tabs\tand\n\nempty\r\nlines\n   \n",
    'def f(x: int) -> str:\n    return f"{x!r}"  # done\n',
    "我想在家里运行推理模型。Größe, naïveté, Привет 🙂🚀",
    "<think>\nwell",
    "<start_of_turn>hello</s>",
    "quantisequantisequantise" * 9,
]


@pytest.mark.parametrize("has_model", [True, False])
def test_llama_cpp_encodes_as_the_checkpoints_own_tokenizer(
    has_model: bool, tmp_path: Path
) -> None:
    source = write_family("mistral", tmp_path)
    if not has_model:
        (source / "tokenizer.model").unlink()
    own = Tokenizer.from_file(str(source / "tokenizer.json"))

    convert(source, tmp_path / "ours.gguf", file_type="F16")

    theirs = llama_tokenise(tmp_path / "ours.gguf", _TEXTS)
    expected = [own.encode(text).ids for text in _TEXTS]
    assert dict(zip(_TEXTS, theirs, strict=True)) == dict(zip(_TEXTS, expected, strict=True))


def test_pieces_of_the_model_are_the_vocabulary_of_its_tokenizer_json() -> None:
    pieces = read_pieces(SENTENCEPIECE / "tokenizer.model")

    own = Tokenizer.from_file(str(SENTENCEPIECE / "tokenizer.json"))
    assert [piece.text for piece in pieces] == [own.id_to_token(n) for n in range(900)]
    assert [piece.piece_type for piece in pieces[:4]] == [2, 3, 3, 6]
    assert pieces[259].score == 0 > pieces[260].score > pieces[261].score
