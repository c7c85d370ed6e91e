"""Owns which tokens are special: their ids, and which of them are put around a text.

Three files speak: the post-processor in tokenizer.json, tokenizer_config.json and config.json, in
that order of rank. Follows gguf-py/gguf/vocab.py, SpecialVocab, also where it is crude: a template
that ends in a token other than EOS makes that token EOS and the former one EOT.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from quant.errors import CheckpointDamagedError
from quant.gguf.key_values import KeyValues

_KINDS = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
_ID_KEYS = {
    "bos": "bos_token_id",
    "eos": "eos_token_id",
    "unk": "unknown_token_id",
    "sep": "seperator_token_id",  # GGUF spells it so
    "pad": "padding_token_id",
    "mask": "mask_token_id",
    "eot": "eot_token_id",
    "eom": "eom_token_id",
}
_ADDED_KINDS = ("bos", "eos", "sep")


@dataclass(slots=True)
class SpecialTokens:
    """Ids by kind, and whether a kind is added to every text."""

    n_vocab: int | None = None
    """Ids from here on are passed over, as llama.cpp does for SentencePiece."""
    ids: dict[str, int] = field(default_factory=dict)
    is_added: dict[str, bool] = field(default_factory=dict)

    def write(self, key_values: KeyValues) -> None:
        """Add the metadata, in llama.cpp's order."""
        for kind, token_id in self.ids.items():
            if kind in _ID_KEYS:
                key_values.uint(f"tokenizer.ggml.{_ID_KEYS[kind]}", token_id)
        for kind, is_added in self.is_added.items():
            if kind in _ADDED_KINDS:
                key_values.flag(f"tokenizer.ggml.add_{kind}_token", is_added)


def content_of(entry: Any) -> str | None:
    """The text of a token in tokenizer_config.json: a string, or an object with `content`."""
    if isinstance(entry, dict):
        entry = entry.get("content")
    return entry if isinstance(entry, str) else None


def find_special_tokens(
    tokenizer: Mapping[str, Any],
    tokenizer_config: Mapping[str, Any],
    config: Mapping[str, Any],
    *,
    n_vocab: int | None = None,
) -> SpecialTokens:
    """Read the three files. Raises: CheckpointDamagedError for an impossible id."""
    names = _Names(tokenizer_config)
    for processor in _processors(tokenizer.get("post_processor")):
        names.apply(processor)
    result = SpecialTokens(n_vocab, is_added=names.is_added)
    id_of: dict[str, Any] = {}
    for token in tokenizer["added_tokens"]:
        id_of.setdefault(content_of(token) or "", token.get("id"))
    if tokenizer_config:
        for kind in names.kinds:
            if isinstance(adds := tokenizer_config.get(f"add_{kind}_token"), bool):
                result.is_added.setdefault(kind, adds)
            _set_id(result, kind, id_of.get(content_of(names.tokens.get(kind)) or ""))
    inner = config.get("text_config")
    for kind in names.kinds:
        token_id = config.get(f"{kind}_token_id")
        if token_id is None and isinstance(inner, dict):
            token_id = inner.get(f"{kind}_token_id")
        _set_id(result, kind, token_id)
    return result


def _set_id(result: SpecialTokens, kind: str, token_id: Any) -> None:
    if not isinstance(token_id, int) or kind in result.ids:
        return
    if not 0 <= token_id < 2**31:
        raise CheckpointDamagedError(f"the {kind} token has the impossible id {token_id}")
    if result.n_vocab is not None and token_id >= result.n_vocab:
        return
    result.ids[kind] = token_id


class _Names:
    """The token of each kind while the post-processor's steps are applied one by one."""

    def __init__(self, tokenizer_config: Mapping[str, Any]) -> None:
        self.has_config = bool(tokenizer_config)
        self.kinds = list(_KINDS)
        self.tokens = {kind: tokenizer_config.get(f"{kind}_token") for kind in _KINDS}
        self.is_added: dict[str, bool] = {}
        self.tokens["bos"] = self.tokens["bos"] or self.tokens["cls"]
        self.tokens["eos"] = self.tokens["eos"] or self.tokens["sep"]

    def apply(self, processor: Mapping[str, Any]) -> None:
        if processor.get("type") == "ByteLevel":
            self.is_added.setdefault("bos", False)
            self.is_added.setdefault("eos", False)
        elif processor.get("type") == "TemplateProcessing":
            self._apply_template(
                _items(processor.get("single") or []), _items(processor.get("pair") or [])
            )

    def _apply_template(self, single: list[Any], pair: list[Any]) -> None:
        first = _token_in(single[0]) if len(single) > 1 else None
        last = _token_in(single[-1]) if len(single) > 1 else None
        if first:
            self._lead_with(first)
        if last:
            self._end_with(last)
        start = 1 if first and pair and _token_in(pair[0]) == first else 0
        stop = len(pair) - 1 if last and pair and _token_in(pair[-1]) == last else len(pair)
        self._separate_by(pair[start:stop], has_last=last is not None)

    def _lead_with(self, token: str) -> None:
        tokens = self.tokens
        if token not in (tokens["bos"], tokens["cls"]):
            tokens["bos"] = tokens["bos"] or token
            tokens["cls"] = tokens["cls"] or token
        self.is_added["bos"] = token in (tokens["bos"], tokens["cls"])

    def _end_with(self, token: str) -> None:
        if self.has_config and token != self.tokens["eos"]:
            spare = next((kind for kind in ("eot", "eom") if kind not in self.kinds), None)
            if spare:
                self.kinds.append(spare)
                self.tokens[spare] = self.tokens["eos"]
        self.tokens["eos"] = token
        self.is_added["eos"] = True

    def _separate_by(self, pair: list[Any], *, has_last: bool) -> None:
        """`A <between> B`: whether what is between counts as a separator."""
        if len(pair) < 3 or _sequence_in(pair[0]) != "A" or _sequence_in(pair[-1]) != "B":
            return
        between = [_token_in(item) for item in pair[1:-1]]
        separators = (self.tokens["sep"], self.tokens["eos"])
        adds = between[0] is not None and between[0] in separators and not has_last
        if len(between) == 2 and between[1] is not None and between[1] in separators:
            adds = True
        self.is_added["sep"] = adds
        if adds:
            self.tokens["sep"] = self.tokens["sep"] or self.tokens["eos"]


def _processors(node: Any) -> list[dict[str, Any]]:
    if not isinstance(node, dict):
        return []
    steps = _items(node.get("processors", [node]))
    return [step for step in steps if isinstance(step, dict)]


def _items(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise CheckpointDamagedError("tokenizer.json: the post_processor makes no sense")
    return value


def _token_in(item: Any) -> str | None:
    return _part_id(item, "SpecialToken")


def _sequence_in(item: Any) -> str | None:
    return _part_id(item, "Sequence")


def _part_id(item: Any, part: str) -> str | None:
    inner = item.get(part) if isinstance(item, dict) else None
    name = inner.get("id") if isinstance(inner, dict) else None
    return name if isinstance(name, str) else None
