"""Owns what a GGUF header means: the shape of the model, its vocabulary, template and defaults.

Per-layer facts are tuples with one item per block, whether the file gives one number or an array.
Sliding windows follow llama.cpp's `load_arch_hparams` (src/models/*.cpp): a pattern array in the
file wins, else the period that llama.cpp hard-codes for the architecture. What the memory plan
cannot size yet is listed in `unplanned`, so that nobody takes a partial sum for the whole.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TypeVar

from localr1.errors import ModelFileError
from localr1.model_facts.experts import Experts, read_experts
from localr1.model_facts.layer_memory import read_layer_memory
from localr1.model_facts.sliding_windows import IGNORES_WINDOWS, window_rule
from quant.gguf.contents import TensorInfo
from quant.gguf.header import GgufHeader
from quant.gguf.types import FileType

MAX_LAYERS = 512  # LLAMA_MAX_LAYERS
MAX_EXPERTS = 1024  # LLAMA_MAX_EXPERTS
MAX_WIDTH = 2**31 - 1  # any width, count of heads or context; llama.cpp keeps them in 32 bits

_T = TypeVar("_T", int, float, str, bool)


class Unplanned(StrEnum):
    """What a model has and the memory plan does not size yet."""

    UNFOLDED_LATENT = "latent attention unfolded per head (compute buffer)"
    INDEXER = "sparse-attention index"
    ENCODER = "an encoder, or attention that is not causal"


_QUERIES = (".attn_q.weight", ".attn_q_b.weight", ".attn_qkv.weight")

_OF_LAYER = re.compile(r"blk\.([0-9]{1,9})\.")
_UNPLANNED_KEYS = {
    "attention.indexer.head_count": Unplanned.INDEXER,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """What one model is. Lengths are in tokens, widths in numbers, never in bytes."""

    name: str
    arch: str
    quant: str
    """The mix of tensor types by its usual name: `Q4_K_M`, `BF16` ..."""
    n_params: int
    file_bytes: int
    """Of the whole model, also where the file at hand was cut off."""
    n_layer: int
    """Without the layers at the end that only predict several tokens ahead: they are loaded, but
    neither run nor remembered."""
    n_embd: int
    n_vocab: int
    n_ctx_train: int
    n_ff: tuple[int, ...]
    n_head: tuple[int, ...]
    n_head_kv: tuple[int, ...]
    head_dim_k: tuple[int, ...]
    head_dim_v: tuple[int, ...]
    """0 where values are part of the keys (latent attention)."""
    n_swa: int
    """Tokens a sliding-window layer looks back; 0 means that no layer does."""
    is_swa: tuple[bool, ...]
    has_kv: tuple[bool, ...]
    """False where a layer keeps no keys and values of its own."""
    state_numbers: tuple[int, ...]
    """Float32 numbers of recurrent state, per layer and sequence."""
    experts: Experts | None
    """None in a dense model."""
    is_tied: bool
    """True when the output layer is the token embedding once more."""
    tensors: tuple[TensorInfo, ...]
    unplanned: tuple[Unplanned, ...]
    tokenizer_model: str
    bos_id: int | None
    eos_id: int | None
    chat_template: str | None
    sampling: Mapping[str, float]
    """The file's own sampling defaults under `general.sampling.`, by their last name: `temp` ..."""

    @classmethod
    def from_header(cls, header: GgufHeader) -> ModelCard:
        """Read the card from a header.

        Raises: ModelFileError if a fact is missing, of the wrong type, or impossible.
        """
        return _CardReader(header).card()


class _CardReader:
    """Typed access to one header's key-values; every refusal names the file and the key."""

    def __init__(self, header: GgufHeader) -> None:
        self._header = header
        self._arch = self._get("general.architecture", str)
        n_layer = self._count("block_count", high=MAX_LAYERS)
        n_draft = self._count("nextn_predict_layers", 0, low=0)
        self._n_layer = n_layer - n_draft if n_draft < n_layer else n_layer

    def card(self) -> ModelCard:
        header = self._header
        self._check_is_usable()
        self._check_layers()
        n_embd = self._count("embedding_length")
        n_head = self._per_layer("attention.head_count", 0)
        n_head_kv = self._per_layer("attention.head_count_kv", n_head)
        self._check_heads(head_count=n_head, head_count_kv=n_head_kv)
        n_ff = self._per_layer("feed_forward_length", 0)
        n_swa, is_swa = self._sliding_window()
        memory = read_layer_memory(
            header.kv, self._arch, n_embd=n_embd, n_head=n_head, n_head_kv=n_head_kv, n_ff=n_ff
        )
        n_expert = self._count("expert_count", 0, low=0, high=MAX_EXPERTS)
        return ModelCard(
            name=self._get("general.name", str, header.path.stem),
            arch=self._arch,
            quant=self._quant(),
            n_params=sum(math.prod(tensor.dims) for tensor in header.tensors),
            file_bytes=header.file_bytes + header.missing_bytes,
            n_layer=self._n_layer,
            n_embd=n_embd,
            n_vocab=self._n_vocab(),
            n_ctx_train=self._count("context_length"),
            n_ff=n_ff,
            n_head=n_head,
            n_head_kv=n_head_kv,
            head_dim_k=self._head_dims("key_length", n_embd, n_head[0], is_swa),
            head_dim_v=self._value_dims(n_embd, n_head[0], is_swa),
            n_swa=n_swa,
            is_swa=is_swa,
            has_kv=memory.has_kv,
            state_numbers=memory.state_numbers,
            experts=read_experts(
                header.kv,
                self._arch,
                n_expert=n_expert,
                n_used=self._count("expert_used_count", 0, low=0, high=n_expert),
            ),
            is_tied=all(tensor.name != "output.weight" for tensor in header.tensors),
            tensors=header.tensors,
            unplanned=self._unplanned(),
            tokenizer_model=self._get("tokenizer.ggml.model", str, "none"),
            bos_id=self._token_id("bos"),
            eos_id=self._token_id("eos"),
            chat_template=self._get("tokenizer.chat_template", str, "") or None,
            sampling=self._sampling(),
        )

    def _refused(self, reason: str, *, hint: str = "") -> ModelFileError:
        return ModelFileError(f"{self._header.path}: {reason}", hint=hint)

    def _get(self, key: str, kind: type[_T], default: _T | None = None) -> _T:
        value = self._header.kv.get(key, default)
        if value is None:
            raise self._refused(f"{key} is missing")
        if type(value) is not kind:
            raise self._refused(f"{key} is no {kind.__name__}")
        return value

    def _count(
        self, name: str, default: int | None = None, *, low: int = 1, high: int = MAX_WIDTH
    ) -> int:
        key = self._key(name)
        value = self._header.kv.get(key, default)
        if isinstance(value, tuple) and value:  # per layer; the largest bounds them all
            value = max((item for item in value if type(item) is int), default=-1)
        if value is None:
            raise self._refused(f"{key} is missing")
        if type(value) is not int or not low <= value <= high:
            raise self._refused(f"{key} is {value!r:.40}, not from {low} to {high}")
        return value

    def _per_layer(self, name: str, default: int | tuple[int, ...]) -> tuple[int, ...]:
        key = self._key(name)
        value = self._header.kv.get(key, default)
        values = value if isinstance(value, tuple) else (value,) * self._n_layer
        if len(values) < self._n_layer:
            raise self._refused(f"{key} has {len(values)} values for {self._n_layer} layers")
        counts = []
        for item in values[: self._n_layer]:
            if type(item) is not int or not 0 <= item <= MAX_WIDTH:
                raise self._refused(f"{key} has the value {item!r:.40}")
            counts.append(item)
        return tuple(counts)

    def _head_dims(
        self, name: str, n_embd: int, n_head: int, is_swa: tuple[bool, ...]
    ) -> tuple[int, ...]:
        default = n_embd // n_head if n_head else 0
        full = self._count(f"attention.{name}", default, low=0)
        windowed = self._count(f"attention.{name}_swa", full, low=0)
        return tuple(windowed if is_windowed else full for is_windowed in is_swa)

    def _value_dims(self, n_embd: int, n_head: int, is_swa: tuple[bool, ...]) -> tuple[int, ...]:
        # latent attention keeps one row per token, and the values are the first part of it
        if self._key("attention.key_length_mla") in self._header.kv:
            return (0,) * self._n_layer
        return self._head_dims("value_length", n_embd, n_head, is_swa)

    def _sliding_window(self) -> tuple[int, tuple[bool, ...]]:
        rule = window_rule(self._arch, self._n_layer)
        key = self._key("attention.sliding_window_pattern")
        pattern = self._header.kv.get(key)
        window = self._count("attention.sliding_window", rule.default if rule else 0, low=0)
        if not window or self._arch in IGNORES_WINDOWS:
            return 0, (False,) * self._n_layer
        if isinstance(pattern, tuple):
            if len(pattern) < self._n_layer:
                raise self._refused(f"{key} has {len(pattern)} values for {self._n_layer} layers")
            return window, tuple(bool(item) for item in pattern[: self._n_layer])
        if rule is None:
            return 0, (False,) * self._n_layer
        period = self._count("attention.sliding_window_pattern", rule.period, low=0)
        return window, rule.layers(self._n_layer, period)

    def _quant(self) -> str:
        file_type = self._header.kv.get("general.file_type")
        if isinstance(file_type, int) and file_type in frozenset(FileType):
            return FileType(file_type).name
        bytes_of: Counter[str] = Counter()
        for tensor in self._header.tensors:
            bytes_of[tensor.type_name] += tensor.n_bytes
        return bytes_of.most_common(1)[0][0]

    def _n_vocab(self) -> int:
        tokens = self._header.kv.get("tokenizer.ggml.tokens")
        if tokens is None or isinstance(tokens, int | float | str):
            return self._count("vocab_size")
        return len(tokens)

    def _token_id(self, name: str) -> int | None:
        value = self._header.kv.get(f"tokenizer.ggml.{name}_token_id")
        return value if type(value) is int else None

    def _sampling(self) -> Mapping[str, float]:
        prefix = "general.sampling."
        found = {
            key.removeprefix(prefix): float(value)
            for key, value in self._header.kv.items()
            if key.startswith(prefix) and isinstance(value, int | float) and math.isfinite(value)
        }
        return MappingProxyType(found)

    def _unplanned(self) -> tuple[Unplanned, ...]:
        kv = self._header.kv
        found = {what: None for name, what in _UNPLANNED_KEYS.items() if kv.get(self._key(name))}
        is_unfolded = any(t.name.endswith(".attn_kv_b.weight") for t in self._header.tensors)
        if is_unfolded and self._arch != "deepseek2":
            found[Unplanned.UNFOLDED_LATENT] = None
        if kv.get(self._key("attention.causal")) is False or "t5" in self._arch:
            found[Unplanned.ENCODER] = None
        return tuple(found)

    def _key(self, name: str) -> str:
        return f"{self._arch}.{name}"

    def _check_heads(self, **counts: tuple[int, ...]) -> None:
        # single layers may have none: those that remember by a recurrent state
        if any(tensor.name.endswith(_QUERIES) for tensor in self._header.tensors):
            for name, per_layer in counts.items():
                if not any(per_layer):
                    key = f"{self._key('attention')}.{name}"
                    raise self._refused(f"{key} is 0, yet it has attention")

    def _check_layers(self) -> None:
        block_count = self._count("block_count", high=MAX_LAYERS)
        for tensor in self._header.tensors:
            match = _OF_LAYER.match(tensor.name)
            if match and int(match[1]) >= block_count:
                key = self._key("block_count")
                raise self._refused(f"{key} is {block_count}, yet there is {tensor.name[:80]}")

    def _check_is_usable(self) -> None:
        if not self._header.tensors:
            raise self._refused("a vocabulary without a model: there are no tensors")
        for key, value in self._header.kv.items():
            # llama.cpp aborts on a negative or endless epsilon at the first token
            if key.endswith("epsilon") and not (isinstance(value, float) and 0 <= value < math.inf):
                raise self._refused(f"{key} is {value!r:.40}")
