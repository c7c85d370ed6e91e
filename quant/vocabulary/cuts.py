r"""Owns the ways of cutting text that llama.cpp has under a name, as tokenizer.json spells them.

A cut is a sequence of steps, each applied to the pieces that the one before left. Line ends stand
as \r and \n, whether a file escapes them or not. Source: src/llama-vocab.cpp, and tokenizer.json
of the models themselves. Cuts that llama.cpp only comes close to (Kimi, Laguna and Tiny Aya: other
pieces in plain English) are left out.
"""

from __future__ import annotations

BYTES = "bytes"
BYTES_AND_GPT2_WORDS = "bytes, gpt2 words"
SINGLE_DIGITS = "single digits"

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_WORDS = _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+"
_BLANKS = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
_SIGNS = r"| ?[^\s\p{L}\p{N}]+[\r\n]*" + _BLANKS
_SIGNS_AND_PATHS = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*" + _BLANKS
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_CASED_WORDS = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+%s|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*%s"
)

_QWEN2 = _WORDS + r"|\p{N}" + _SIGNS
_LLAMA_3 = _WORDS + r"|\p{N}{1,3}" + _SIGNS
_QWEN_35 = (
    _CONTRACTIONS
    + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"
    + _BLANKS
)
_GPT_4O = (
    _CASED_WORDS % (_CONTRACTIONS + "?", _CONTRACTIONS + "?") + r"|\p{N}{1,3}" + _SIGNS_AND_PATHS
)
_TEKKEN = _CASED_WORDS % ("", "") + r"|\p{N}" + _SIGNS_AND_PATHS
_LING = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*"
    r"|\s*[\r\n]|\s+(?!\S)|\s+"
)
_SEED = _WORDS + r"|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+" + _BLANKS
_EXAONE = (
    _CONTRACTIONS
    + r"|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?"
    r"|\s*[\r\n]|\s+(?!\S)|\s+"
)

_GROUPS_OF_THREE = r"\p{N}{1,3}"
_CHINESE_AND_KANA = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"
_WORDS_BY_SIGN = (
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"""
    r"|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+"
)
_DEEPSEEK_V3 = _WORDS_BY_SIGN + r"[\r\n]*" + _BLANKS
_SPARK = _WORDS_BY_SIGN + r"|[\r\n]|\s+(?!\S)|\s+"

_LINE_END = r"[\r\n]"
_CHINESE_AND_KOREAN = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
_SIGNS_AND_WIDE_SIGNS = r"\s?[!-/:-~" + "\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+"
_CASED_LETTERS = (
    r"\s?[A-Za-z"
    "\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af"
    "\u0370-\u0373\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1"
    "\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd"
    "\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d"
    "\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4"
    "\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec"
    "\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128"
    "\u212a-\u212d\u212f-\u2134\u2139\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b"
    "\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787"
    "\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a"
    "\U00010400-\U0001044f\U000104b0-\U000104d3\U000104d8-\U000104fb\U00010c80-\U00010cb2"
    "\U00010cc0-\U00010cf2\U000118a0-\U000118df\U0001e900-\U0001e943]+"
)

WHOLE_TEXT = frozenset({_QWEN2, _LLAMA_3, _QWEN_35, _GPT_4O, _TEKKEN})
"""Patterns that leave nothing between their matches: keeping matches only is cutting at them."""

NAMES: dict[tuple[tuple[str, ...], bool], str] = {
    ((_QWEN2, BYTES), False): "qwen2",
    ((_LLAMA_3, BYTES), True): "llama-bpe",
    ((_LLAMA_3, BYTES), False): "smaug-bpe",
    ((_QWEN_35, BYTES), False): "qwen35",
    ((_GPT_4O, BYTES), False): "gpt-4o",
    ((_TEKKEN, BYTES), True): "tekken",
    ((_LING, BYTES), False): "bailingmoe",
    ((_SEED, BYTES), False): "seed-coder",
    ((_EXAONE, BYTES), False): "exaone-moe",
    ((BYTES_AND_GPT2_WORDS,), False): "gpt-2",
    ((SINGLE_DIGITS, BYTES_AND_GPT2_WORDS), False): "smollm",
    ((_GROUPS_OF_THREE, _WORDS + r"|\p{N}+" + _SIGNS, BYTES), True): "minicpm5",
    ((_GROUPS_OF_THREE, _CHINESE_AND_KANA, _DEEPSEEK_V3, BYTES), False): "deepseek-v3",
    ((_GROUPS_OF_THREE, _CHINESE_AND_KANA, _SPARK, SINGLE_DIGITS, BYTES), False): "spark2_5",
    (
        (_LINE_END, r"\s?\p{L}+", r"\s?\p{P}+", _CHINESE_AND_KOREAN, SINGLE_DIGITS, BYTES),
        False,
    ): "deepseek-coder",
    (
        (
            _LINE_END,
            _CASED_LETTERS,
            _SIGNS_AND_WIDE_SIGNS,
            r"\s+$",
            _CHINESE_AND_KOREAN,
            SINGLE_DIGITS,
            BYTES,
        ),
        False,
    ): "deepseek-llm",
}
"""Name by the steps and by `ignore_merges`, which llama.cpp ties to the name."""

CUTS_AT_MARKS = frozenset({"gpt-4o", "tekken"})
"""Names under which llama.cpp cuts words at accents and vowel signs that are characters of their
own, where the tokenizer does not: its pattern has no class for them."""

JOINS_DIGITS = frozenset({"deepseek-llm"})
"""Names under which llama.cpp does not part digits: right only if no token holds two of them."""
