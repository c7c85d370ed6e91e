"""Owns the numbers in config.json that shape a model: read once, checked, typed.

A missing key means what the model's class in transformers takes it to mean; those defaults come
from the architecture. Everything that must be there is an error when it is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from quant.errors import CheckpointDamagedError, UnsupportedError

_MAX_LAYERS = 512
_MAX_EXPERTS = 4096
_EXPERT_KEYS = ("num_local_experts", "num_experts", "n_routed_experts")
_MAX_SIZE = 2**31 - 1
_KNOWN_ROPE = {"default", "linear", "yarn", "dynamic", "llama3", "longrope", "su"}


@dataclass(frozen=True, slots=True)
class RopeParameters:
    """Rotary position embedding: base frequency and how it is stretched."""

    rope_type: str
    theta: float
    options: Mapping[str, float]
    """The numeric rest of `rope_scaling`: factor, beta_fast, ..."""
    n_ctx_before: int | None
    """Context the model had before it was stretched, if stated."""
    local_theta: float | None = None
    """Base frequency of the layers that see a sliding window only, where it differs."""

    def required(self, name: str) -> float:
        """An option without which the type makes no sense."""
        if name not in self.options:
            raise CheckpointDamagedError(
                f"config.json: rope scaling {self.rope_type!r} lacks {name}"
            )
        return self.options[name]


@dataclass(frozen=True, slots=True)
class Hyperparameters:
    """What the tensor shapes and the metadata follow from."""

    n_layer: int
    n_ctx: int
    n_embd: int
    n_ff: int
    n_head: int
    n_head_kv: int
    head_dim: int
    n_expert: int
    """0 in a dense model."""
    n_expert_used: int
    """By one token; 0 if config.json does not say."""
    has_own_head_dim: bool
    """Whether config.json states head_dim."""
    n_vocab: int
    rms_eps: float
    has_tied_embeddings: bool
    rope: RopeParameters
    values: Mapping[str, Any]
    """All of config.json with the defaults filled in, for what only one family has."""

    def size(self, key: str) -> int:
        """A positive whole number of the config. Raises: CheckpointDamagedError naming the key."""
        return _size(self.values, key)

    def number(self, key: str) -> float:
        """A number of the config, 0 or more. Raises: CheckpointDamagedError naming the key."""
        return _number(self.values, key)

    def standard_sizes(self) -> dict[str, int]:
        """The sizes of every family, by their names in a GGUF and in its usual order."""
        return {
            "block_count": self.n_layer,
            "context_length": self.n_ctx,
            "embedding_length": self.n_embd,
            "feed_forward_length": self.n_ff,
            "attention.head_count": self.n_head,
            "attention.head_count_kv": self.n_head_kv,
        }

    def dimension(self, name: str) -> int:
        """The size that a tensor rule names: one of these or a key of the config, or twice it."""
        if name.startswith("2 "):
            return 2 * self.dimension(name.removeprefix("2 "))
        sizes = {
            "n_vocab": self.n_vocab,
            "n_embd": self.n_embd,
            "n_ff": self.n_ff,
            "n_q": self.n_head * self.head_dim,
            "n_kv": self.n_head_kv * self.head_dim,
            "head_dim": self.head_dim,
            "n_head": self.n_head,
            "n_expert": self.n_expert,
            "1": 1,
            "n_qkv": (self.n_head + 2 * self.n_head_kv) * self.head_dim,
        }
        return sizes[name] if name in sizes else self.size(name)


def read_hyperparameters(
    config: Mapping[str, Any], defaults: Mapping[str, float]
) -> Hyperparameters:
    """Check and type a config. Raises: CheckpointDamagedError naming the key.

    Of a model that also sees or hears, the part for text counts, with what all parts share.
    """
    of_text = config.get("text_config")
    if not isinstance(of_text, dict | None):
        raise CheckpointDamagedError("config.json: text_config is no object")
    stated = {**config, **(of_text or {})}
    values = {**defaults, **{key: value for key, value in stated.items() if value is not None}}
    n_head = _size(values, "num_attention_heads")
    values.setdefault("num_key_value_heads", n_head)
    n_embd, n_head_kv = _size(values, "hidden_size"), _size(values, "num_key_value_heads")
    has_own_head_dim = "head_dim" in values
    values.setdefault("head_dim", n_embd // n_head)
    head_dim = _size(values, "head_dim")
    if n_head % n_head_kv or head_dim % 2:
        raise CheckpointDamagedError(
            f"config.json: {n_head} heads, {n_head_kv} key-value heads of {head_dim} do not fit"
        )
    n_expert = _n_expert(values)
    return Hyperparameters(
        n_layer=_size(values, "num_hidden_layers", maximum=_MAX_LAYERS),
        n_ctx=_size(values, "max_position_embeddings"),
        n_embd=n_embd,
        n_ff=_size(values, "intermediate_size"),
        n_head=n_head,
        n_head_kv=n_head_kv,
        head_dim=head_dim,
        n_expert=n_expert,
        n_expert_used=_n_expert_used(values, n_expert),
        has_own_head_dim=has_own_head_dim,
        n_vocab=_size(values, "vocab_size"),
        rms_eps=_number(values, "rms_norm_eps"),
        has_tied_embeddings=values.get("tie_word_embeddings", False) is True,
        rope=_rope(values),
        values=values,
    )


def _n_expert(values: Mapping[str, Any]) -> int:
    key = next((key for key in _EXPERT_KEYS if values.get(key, 0) != 0), None)
    return 0 if key is None else _size(values, key, maximum=_MAX_EXPERTS)


def _n_expert_used(values: Mapping[str, Any], n_expert: int) -> int:
    key = "num_experts_per_tok"
    return _size(values, key, maximum=n_expert) if n_expert and key in values else 0


def _rope(values: Mapping[str, Any]) -> RopeParameters:
    # transformers 5 writes rope_parameters, earlier versions rope_theta and rope_scaling
    scaling = values.get("rope_parameters") or values.get("rope_scaling") or {}
    if not isinstance(scaling, dict):
        raise CheckpointDamagedError("config.json: rope_scaling is no object")
    local = scaling.get("sliding_attention", {})
    scaling = scaling.get("full_attention", scaling)
    if not isinstance(scaling, dict) or not isinstance(local, dict):
        raise CheckpointDamagedError("config.json: rope_parameters makes no sense")
    local_values = {"rope_theta": values.get("rope_local_base_freq"), **local}
    local_theta = (
        None if local_values["rope_theta"] is None else _number(local_values, "rope_theta")
    )
    rope_type = str(scaling.get("rope_type") or scaling.get("type") or "default").lower()
    if rope_type not in _KNOWN_ROPE:
        raise UnsupportedError(
            f"rope scaling {rope_type[:40]!r} is unknown; "
            f"known are {', '.join(sorted(_KNOWN_ROPE))}"
        )
    options = {
        key: _number(scaling, key)
        for key, value in scaling.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    theta = options.pop("rope_theta", None)
    if theta is None:
        theta = _number(values, "rope_theta")
    if theta < 1:
        raise CheckpointDamagedError(f"config.json: rope_theta is {theta}, below 1")
    key = "original_max_position_embeddings"
    n_ctx_before = _size(scaling, key) if key in options else None
    return RopeParameters(rope_type, theta, options, n_ctx_before, local_theta)


def _size(values: Mapping[str, Any], key: str, *, maximum: int = _MAX_SIZE) -> int:
    value = values.get(key)
    if type(value) is not int or not 1 <= value <= maximum:
        raise CheckpointDamagedError(
            f"config.json: {key} is {str(value)[:40]}, not a whole number from 1 to {maximum:,}"
        )
    return value


def _number(values: Mapping[str, Any], key: str) -> float:
    value = values.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 3e38:
        raise CheckpointDamagedError(f"config.json: {key} is {str(value)[:40]}, not a number")
    return value
