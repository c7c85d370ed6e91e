r"""Owns the pre-tokenizers that tests write into tokenizer.json, by llama.cpp's names for them.

The patterns are those of the models themselves, as far as they are published, and those that
llama.cpp notes as the originals (src/llama-vocab.cpp, next to its own). A line end stands in some
files as \n, in others as itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from tests.support.checkpoint_zoo import write_checkpoint, write_json

BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
WORDS = BYTES | {"use_regex": True}
DIGITS = {"type": "Digits", "individual_digits": True}


def split(pattern: str, **changes: Any) -> dict[str, Any]:
    """A step that cuts at a pattern."""
    regex = {"Regex": pattern}
    return {"type": "Split", "pattern": regex, "behavior": "Isolated", "invert": False} | changes


LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN_2 = LLAMA_3.replace("{1,3}", "")
QWEN_35 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}"
    r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
GPT_4O = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_LING = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*"
    r"|\s*[\r\n]|\s+(?!\S)|\s+"
)
_SEED = (
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}"
    "| ?[^\\s\\p{L}\\p{N}\r\n]+|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"
)
_EXAONE = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+"
)
_DEEPSEEK_V3 = (
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+"
    "|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*"
    "|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"
)
_SPARK = _DEEPSEEK_V3.replace("[\r\n]*|\\s*[\r\n]+", "|[\r\n]")
_NUMBERS_AND_KANA = (split(r"\p{N}{1,3}"), split("[一-龥\u3040-\u309f\u30a0-\u30ff]+"))
_CHINESE_AND_KOREAN = split("[一-龥\u0800-一가-\ud7ff]+")
_CASED_LETTERS = (
    "A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕ"
    "ἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\u1f7dᾀ-ᾴᾶ-ᾼ\u1fbeῂ-ῄῆ-ῌῐ-\u1fd3ῖ-\u1fdbῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\u2126ℨ\u212a-ℭℯ-ℴℹℼ-ℿ"
    "ⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃"
)

PRE_TOKENIZERS: dict[str, tuple[tuple[dict[str, Any], ...], bool]] = {
    "qwen2": ((split(QWEN_2), BYTES), False),
    "llama-bpe": ((split(LLAMA_3), BYTES), True),
    "smaug-bpe": ((split(LLAMA_3, behavior="Removed", invert=True), BYTES), False),
    "qwen35": ((split(QWEN_35), BYTES), False),
    "gpt-4o": ((split(GPT_4O), BYTES), False),
    "tekken": ((split(TEKKEN), BYTES), True),
    "bailingmoe": ((split(_LING), BYTES), False),
    "seed-coder": ((split(_SEED), BYTES), False),
    "exaone-moe": ((split(_EXAONE), BYTES), False),
    "gpt-2": ((WORDS,), False),
    "smollm": ((DIGITS, WORDS), False),
    "minicpm5": (
        (split(r"\p{N}{1,3}"), split(LLAMA_3.replace("{1,3}", "+")), BYTES),
        True,
    ),
    "deepseek-v3": ((*_NUMBERS_AND_KANA, split(_DEEPSEEK_V3), BYTES), False),
    "spark2_5": ((*_NUMBERS_AND_KANA, split(_SPARK), DIGITS, BYTES), False),
    "deepseek-coder": (
        (
            split("[\r\n]"),
            split(r"\s?\p{L}+"),
            split(r"\s?\p{P}+"),
            _CHINESE_AND_KOREAN,
            DIGITS,
            BYTES,
        ),
        False,
    ),
    "deepseek-llm": (
        (
            split("[\r\n]"),
            split(rf"\s?[{_CASED_LETTERS}]+"),
            split(r"\s?[!-/:-~！-／：-～‘-‟　-。]+"),
            split(r"\s+$"),
            _CHINESE_AND_KOREAN,
            DIGITS,
            BYTES,
        ),
        False,
    ),
}
"""The steps and whether a piece that is a token is taken whole (`ignore_merges`)."""


_N_VOCAB = 1017
"""As many as come before the added tokens of the checkpoint below."""


def trained_model(texts: Iterable[str], *steps: dict[str, Any]) -> dict[str, Any]:
    """A model of byte-level BPE that knows the texts by heart, as far as the steps let it."""
    sequence = {"type": "Sequence", "pretokenizers": list(steps)}
    blank = json.loads(Tokenizer(models.BPE()).to_str())
    tokenizer = Tokenizer.from_str(json.dumps(blank | {"pre_tokenizer": sequence}))
    trainer = trainers.BpeTrainer(
        vocab_size=_N_VOCAB,
        min_frequency=1,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    model: dict[str, Any] = json.loads(tokenizer.to_str())["model"]
    return model


def write_with_cut(parent: Path, name: str, model: dict[str, Any], **changes: Any) -> Path:
    """A checkpoint whose tokenizer cuts as the one of that name does, and merges as the model."""
    steps, ignores_merges = PRE_TOKENIZERS[name]
    source = write_checkpoint("odd_rows", parent)
    document = json.loads((source / "tokenizer.json").read_text(encoding="utf-8"))
    document["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": list(steps)}
    document["model"] = model | {"ignore_merges": ignores_merges} | changes
    write_json(source / "tokenizer.json", document)
    return source
