"""Owns the 2,000 texts on which two tokenizers must agree, made anew each time from a few lines.

English, Chinese, other scripts, code, emoji, blanks and numbers, joined the way people join them.
All are in composed form (Unicode NFC): llama.cpp composes nothing, some tokenizers do. Characters
are older than Unicode 10, because the two sides know different editions of its tables.
"""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Iterable

N_TEXTS = 2000

_WORDS = {
    "english": """
        the a of to in is it that was for on are with as I his they be at one have this from
        Tokenizers cut words into pieces nobody would guess: un-believ-able, isn't it? She'd say
        we're late; they'll wait, I'm sure, you've time. DON'T SHOUT, he'S HERE, It'Ll do.
        naïve café résumé coöperate Mr. Smith's e-mail@example.org https://example.org/a?b=c&d=%20
        antidisestablishmentarianism HTTPServer camelCase snake_case kebab-case CONSTANT_NAME
        (parenthesis) [bracket] {brace} <angle> "quoted" 'single' “curly” ‘quotes’ — – … etc.""",
    "chinese": """
        我们 把 模型 转换 成 四位 格式 。 今天 天气 很 好 ， 是 吗 ？ 推理 需要 时间 ！ 「引号」
        （括号） 北京 二〇二五年 三十六 ： 一、 思考 … 繁體 中文 語言 模型 的 結果""",
    "other scripts": """
        Größe Straße Übung ångström garçon señor œuvre Привет мир Ёлка Київ Ελλάδα λόγος שלום مرحبا
        العربية नमस्ते हिन्दी สวัสดี こんにちは カタカナ 日本語 안녕하세요 한국어
        Việt İstanbul ﬁ ½ ² № € £ ©""",
    "emoji": """
        🙂 🚀 👍🏽 👩‍👩‍👧‍👦 🇩🇪 🇨🇳 ✅ ❤️ ☕ 🧠 🤔 🎉🎉🎉 ♠ → ∑ ∫ √ ≤ ≠ ∞ ½ • ■ ☃ 💡💡 😀😃😄""",
    "numbers": """
        0 1 7 10 42 99 100 123 1000 1234 12345 123456 1234567 12345678901234567890 3.14159 -273.15
        1,000,000 1.000.000,00 12/31/1999 2025-01-20 23:59:59 50% $9.99 1st 2nd 007 1e10 +1 ٣٤٥
        ⅷ""",
}
_CODE = """\
def f(x: int) -> str:
    return f"{x!r}"  # done
for (int i = 0; i < n; ++i) {
\t\tx[i] += 1;
}
if a != b and c >= 0:
    raise ValueError('no')
SELECT * FROM t WHERE id = 7;
#include <a.h>
const f = async (x) => { await g(x ?? null); };
<div class="a b">&amp;</div>
$HOME/bin:$PATH --flag=value ~/.config
{"key": [1, 2.5, null, true]}
git commit -m 'fix'
0x1F 0b101 1e-9
a->b::c<T&>() /* note */
@decorator
\\begin{equation} \\frac{a}{b} \\end{equation}
=== !== <= >= && || << >> ** // /// ### ---- ____ ;;
"""
_BLANKS = (
    " ", " ", " ", " ", "  ", "   ", "    ", "        ", " " * 17, "\n", "\n\n", "\n\n\n", "\t",
    "\t\t", " \n", "\n ", "\r\n", "\r\n\r\n", " \t ", "\u00a0", "\u3000", "\u200b", "",
)  # fmt: skip
_JOINTS = (" ", " ", "", "", "\n", ", ")
_LONG = ("a" * 300, "é" * 99, "的" * 99, "=" * 65)


def plain_texts() -> list[str]:
    """2,000 different texts of up to a few hundred characters; always the same ones."""
    rng = random.Random("localr1")  # noqa: S311 - to be repeatable, not secret
    kinds = [*(text.split() for text in _WORDS.values()), _CODE.splitlines()]
    # a dict, because it keeps order and drops what comes twice
    texts = dict.fromkeys([*(part for kind in kinds for part in kind), *_BLANKS[:-1], *_LONG])
    while len(texts) < N_TEXTS:
        texts[_made_up(rng, kinds)] = None
    return list(texts)


def has_marks(text: str) -> bool:
    """Whether an accent or a vowel sign is a character of its own, as in Hindi and Thai."""
    return any(unicodedata.category(character).startswith("M") for character in text)


def _made_up(rng: random.Random, kinds: list[list[str]]) -> str:
    if rng.random() < 0.25:  # a medley
        parts = [rng.choice(_BLANKS)]
        for _ in range(rng.randint(1, 12)):
            parts += [rng.choice(rng.choice(kinds)), rng.choice(_BLANKS)]
        return "".join(parts)
    kind = rng.choice(kinds)
    return rng.choice(_JOINTS).join(rng.choice(kind) for _ in range(rng.randint(2, 12)))


def texts_with(special: Iterable[str], *, only_last: bool) -> list[str]:
    """Texts in which special tokens stand as a chat template would put them.

    `only_last` keeps text from following one: llama.cpp puts a blank there, where SentencePiece's
    newer relatives do not.
    """
    texts = []
    tokens = list(special)
    for token, other in zip(tokens, tokens[1:] + tokens[:1], strict=True):
        texts.append(f"What is 12 + 8?{token}")
        if not only_last:
            texts += [f"{token}Hello, 世界{other}def f(): pass{token}", f"{token}{other}{token}"]
    return texts
