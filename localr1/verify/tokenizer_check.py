"""Owns the comparison of two tokenizers: the GGUF's in llama.cpp, and the checkpoint's own.

tokenizer.json is read by the `tokenizers` library, the one its makers wrote it with. A checkpoint
that has only a SentencePiece model needs the `sentencepiece` package; without it nothing is
compared, and the report says so. Belongs to the child: both libraries are native code.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from localr1.verify.frames import TokenizerReport
from localr1.verify.texts import has_marks, plain_texts, texts_with

_MAX_SPECIAL = 64
_SHOWN_IDS = 4096


@dataclass(frozen=True, slots=True)
class OwnTokenizer:
    """The checkpoint's tokenizer, as its makers' library reads it."""

    reader: Literal["tokenizers", "sentencepiece"]
    encode: Callable[[str], list[int]]
    texts: list[str]
    """What it is fair to compare on."""

    def without_marks(self) -> OwnTokenizer:
        """The same, compared on texts without accents or vowel signs of their own only."""
        return replace(self, texts=[text for text in self.texts if not has_marks(text)])


def compare(own: OwnTokenizer, encode: Callable[[str], list[int]]) -> TokenizerReport:
    """Encode every text both ways; `encode` is the GGUF's."""
    differing = [text for text in own.texts if encode(text) != own.encode(text)]
    first = differing[0] if differing else ""
    return TokenizerReport(
        reader=own.reader,
        n_texts=len(own.texts),
        n_different=len(differing),
        text=first,
        in_gguf=tuple(encode(first)[:_SHOWN_IDS]),
        in_checkpoint=tuple(own.encode(first)[:_SHOWN_IDS]),
    )


def own_tokenizer(directory: Path) -> OwnTokenizer | TokenizerReport:
    """The tokenizer in a checkpoint's directory, or a report that says why there is none."""
    if (directory / "tokenizer.json").is_file():
        return _from_json(directory / "tokenizer.json")
    if not (directory / "tokenizer.model").is_file():
        return TokenizerReport(reader="", skipped="the source has no tokenizer file")
    if importlib.util.find_spec("sentencepiece") is None:
        return TokenizerReport(
            reader="", skipped="reading tokenizer.model needs the package sentencepiece"
        )
    return _from_sentencepiece(directory / "tokenizer.model")


def _from_json(path: Path) -> OwnTokenizer:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def encode(text: str) -> list[int]:
        ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    return OwnTokenizer("tokenizers", encode, plain_texts() + _special_texts(tokenizer))


def _special_texts(tokenizer: Any) -> list[str]:
    special = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
    is_sentencepiece = bool(getattr(tokenizer.model, "byte_fallback", False))
    return texts_with(special[:_MAX_SPECIAL], only_last=is_sentencepiece)


def _from_sentencepiece(path: Path) -> OwnTokenizer:
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor(model_file=str(path))

    def encode(text: str) -> list[int]:
        ids: list[int] = processor.encode(text)
        return ids

    # it never takes text for a special token
    return OwnTokenizer("sentencepiece", encode, plain_texts())
