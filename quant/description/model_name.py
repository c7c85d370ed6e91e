"""Owns what a model's name says about it: `DeepSeek-R1-Distill-Qwen-1.5B` taken apart.

Written to give the same answers as gguf-py/gguf/metadata.py, get_model_id_components, and
gguf-py/gguf/utility.py, size_label; users search hubs by these values.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto

_VERSION = re.compile(r"(v|iter)?\d+([.]\d+)*", re.IGNORECASE)
_ENCODING = re.compile(r"i?q\d(_\w)*|b?fp?(16|32)", re.IGNORECASE)
_SIZE = re.compile(
    r"(([A]|\d+[x])?\d+([._]\d+)?[KMBT][\d]?|small|mini|medium|large|x?xl)", re.IGNORECASE
)
_FINETUNE = re.compile(r"chat|instruct|vision|lora", re.IGNORECASE)
_KEEPS_CASE = re.compile(r"v\d+(?:\.\d+)*|\d.*")
_POWERS = {"K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}


class _Kind(Enum):
    UNKNOWN = auto()
    VERSION = auto()
    ENCODING = auto()
    SIZE = auto()
    FINETUNE = auto()


@dataclass(slots=True)
class _Part:
    text: str
    kind: _Kind
    is_in_basename: bool = False


@dataclass(frozen=True, slots=True)
class NameParts:
    """The parts of a model id; None where the id does not say."""

    name: str | None = None
    organization: str | None = None
    basename: str | None = None
    finetune: str | None = None
    version: str | None = None
    size_label: str | None = None


def split_model_id(model_id: str, n_params: int) -> NameParts:
    """Take `organization/name-size-finetune-version` apart; `n_params` unmasks false sizes."""
    if " " in model_id:
        return NameParts(name=model_id)  # a sentence, not an id
    organization, has_slash, name = model_id.partition("/")
    if not has_slash:
        organization, name = "", model_id
    parts = [
        _classified(text, n_params, is_first=number == 0)
        for number, text in enumerate(filter(None, name.split("-")))
    ]
    _drop_worded_sizes(parts)
    _mark_basename(parts)
    version = _joined(
        part.text for part in parts if part.kind is _Kind.VERSION and not part.is_in_basename
    )
    size_label = _joined(dict.fromkeys(part.text for part in parts if part.kind is _Kind.SIZE))
    finetune = _joined(part.text for part in parts if part.kind is _Kind.FINETUNE)
    basename = _joined(part.text for part in parts if part.is_in_basename)
    if version is None and size_label is None and finetune is None:
        basename = None  # one word alone says too little
    return NameParts(
        name=name,
        organization=organization if organization and organization[0] != "." else None,
        basename=basename,
        finetune=finetune,
        version=version,
        size_label=size_label,
    )


def title_of(name: str) -> str:
    """A name for people: hyphens become blanks, lower-case words get capitals."""
    return " ".join(
        word.title() if word.islower() and not _KEEPS_CASE.fullmatch(word) else word
        for word in name.strip().replace("-", " ").split()
    )


def size_label_of(n_params: int) -> str:
    """`5.2M`, `1.8B`, `70B`: at least two significant digits."""
    letter = next((letter for letter in "TBM" if n_params > _POWERS[letter]), "K")
    # multiplied, not divided: the last digit of 3550 depends on it, and llama.cpp multiplies
    scaled = n_params * {"K": 1e-3, "M": 1e-6, "B": 1e-9, "T": 1e-12}[letter]
    n_digits = max(2 - len(str(round(scaled)).lstrip("0")), 0)
    return f"{scaled:.{n_digits}f}{letter}"


def _classified(text: str, n_params: int, *, is_first: bool) -> _Part:
    if _VERSION.fullmatch(text):
        return _Part(text, _Kind.VERSION)
    if _ENCODING.fullmatch(text):
        return _Part(text.upper(), _Kind.ENCODING)
    if not is_first and _SIZE.fullmatch(text):
        return _size_part(text, n_params)
    if not is_first and _FINETUNE.fullmatch(text):
        return _Part(text, _Kind.FINETUNE)
    return _Part(text, _Kind.UNKNOWN)


def _size_part(text: str, n_params: int) -> _Part:
    text = text.replace("_", ".")
    if text[-1].isdecimal():  # 7b1 is 7.1b
        text = f"{text[:-2]}.{text[-1]}{text[-2]}"
    if text[-2].isdecimal():
        text = text[:-1] + text[-1].upper()
    try:
        n_claimed = float(text[:-1]) * _POWERS.get(text[-1], 0.0)
    except ValueError:  # small, 8x7B
        return _Part(text, _Kind.SIZE)
    if n_params and abs(n_claimed - n_params) > 7 * n_params // 8:
        # far from the real size: a context length, as in Qwen-14B-1M
        return _Part(text[:-1] + text[-1].lower(), _Kind.FINETUNE)
    return _Part(text, _Kind.SIZE)


def _drop_worded_sizes(parts: list[_Part]) -> None:
    sizes = [part for part in parts if part.kind is _Kind.SIZE]
    if any(character.isdecimal() for part in sizes for character in part.text):
        for part in sizes:
            if part.text.isalpha():
                part.kind = _Kind.UNKNOWN


def _mark_basename(parts: list[_Part]) -> None:
    is_at_start = True
    for part in parts:
        is_word = part.kind is _Kind.UNKNOWN and part.text[0].isalpha()
        if is_at_start and (is_word or part.kind is _Kind.VERSION):
            part.is_in_basename = True
        else:
            is_at_start = False
            if part.kind is _Kind.UNKNOWN:
                part.kind = _Kind.FINETUNE
    for part in reversed(parts):
        if not (part.is_in_basename and part.kind is _Kind.VERSION):
            break
        part.is_in_basename = False


def _joined(texts: Iterable[str]) -> str | None:
    return "-".join(texts) or None
