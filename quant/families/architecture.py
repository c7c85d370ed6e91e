"""Owns the registry of model families and what one consists of.

A family is a table: which tensor of the checkpoint becomes which tensor of the GGUF, with which
shape, plus the few things a table cannot say. Adding one is a module here that ends in
`ARCHITECTURE = Architecture(...)` and a line in `_MODULES`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from quant.dtypes import Float32Array
from quant.errors import CheckpointDamagedError, UnsupportedError
from quant.families.hyperparameters import Hyperparameters, read_hyperparameters
from quant.gguf.key_values import KeyValues
from quant.rows import RowSource, picked_rows, shifted_rows, stored_rows
from quant.source.safetensors import StoredTensor

_MODULES = {
    "DeepseekV2ForCausalLM": "quant.families.deepseek_v2",
    "DeepseekV3ForCausalLM": "quant.families.deepseek_v3",
    "Gemma2ForCausalLM": "quant.families.gemma2",
    "Gemma3ForCausalLM": "quant.families.gemma3",
    "Gemma3ForConditionalGeneration": "quant.families.gemma3_multimodal",
    "GptOssForCausalLM": "quant.families.gpt_oss",
    "GraniteForCausalLM": "quant.families.granite",
    "LlamaForCausalLM": "quant.families.llama",
    "Mistral3ForConditionalGeneration": "quant.families.mistral3",
    "MistralForCausalLM": "quant.families.mistral",
    "MixtralForCausalLM": "quant.families.mixtral",
    "Olmo2ForCausalLM": "quant.families.olmo2",
    "Phi3ForCausalLM": "quant.families.phi3",
    "Qwen2ForCausalLM": "quant.families.qwen2",
    "Qwen2MoeForCausalLM": "quant.families.qwen2moe",
    "Qwen3ForCausalLM": "quant.families.qwen3",
    "Qwen3MoeForCausalLM": "quant.families.qwen3moe",
    "SmolLM3ForCausalLM": "quant.families.smollm3",
}
"""Module by the name that config.json gives under `architectures`."""


Arrangement: TypeAlias = Callable[[StoredTensor, Hyperparameters], RowSource]
"""How the rows of an output follow from a stored tensor."""


def as_stored(stored: StoredTensor, _parameters: Hyperparameters) -> RowSource:
    """The rows as they are."""
    return stored_rows(stored)


def interleaved(stored: StoredTensor, parameters: Hyperparameters) -> RowSource:
    """Rows from half-split to interleaved rotary order within each head."""
    half = parameters.head_dim // 2
    order = [place for first in range(half) for place in (first, first + half)]
    return picked_rows(stored, parameters.head_dim, order)


def plus_one(stored: StoredTensor, _parameters: Hyperparameters) -> RowSource:
    """A norm that is stored as its distance from one."""
    return shifted_rows(stored_rows(stored), 1.0)


def every_layer(parameters: Hyperparameters) -> Iterable[int]:
    """All layers."""
    return range(parameters.n_layer)


@dataclass(frozen=True, slots=True)
class TensorRule:
    """How one tensor, or one per layer, comes over."""

    source: str
    """Name in the checkpoint; `{bid}` stands for the layer. `{xid}` stands for the expert: the
    output stacks all experts of a layer."""
    target: str
    """Name in the GGUF."""
    shape: tuple[str, ...]
    """Dimensions by their names in `Hyperparameters.dimension`, rows first."""
    is_required: bool = True
    arrange: Arrangement = as_stored
    into: tuple[str, ...] = ()
    """Dimensions of the output, or of what one expert adds to it, where `arrange` changes them."""
    layers: Callable[[Hyperparameters], Iterable[int]] = every_layer
    """Which layers have it, if the source names a layer."""
    dtype: str = ""
    """Its format where there are no weights to ask, if not the one that config.json names."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Tensors of a checkpoint that the GGUF does without, and what the user is told."""

    is_meant: Callable[[str, Hyperparameters], bool]
    """Whether a tensor of this name is one of them."""
    notice: str
    """`{n}` stands for how many there are."""


def _as_read(parameters: Hyperparameters) -> Hyperparameters:
    """The hyperparameters as config.json has them."""
    return parameters


def _no_parameters(_key_values: KeyValues, _prefix: str, _parameters: Hyperparameters) -> None:
    """Adds no metadata."""


def _nothing(_key_values: KeyValues, _parameters: Hyperparameters) -> None:
    """Adds no metadata."""


def _no_tokenizer_settings(_key_values: KeyValues, _tokenizer_config: Mapping[str, Any]) -> None:
    """Adds no metadata."""


def _no_notices(_parameters: Hyperparameters) -> Iterable[str]:
    """Nothing to tell."""
    return ()


def _no_tensors(_parameters: Hyperparameters) -> dict[str, Float32Array]:
    """Makes no tensors."""
    return {}


@dataclass(frozen=True, slots=True)
class Architecture:
    """A family of models, as llama.cpp names it."""

    name: str
    rules: tuple[TensorRule, ...]
    defaults: Mapping[str, float]
    """What transformers assumes for keys that config.json may leave out."""
    states_head_dim: bool | None = None
    """Whether the metadata give the size of a head; None: if config.json does."""
    add_standard: Callable[[KeyValues, str, Hyperparameters], None] | None = None
    """Sizes, rotary embedding and norm, for a family that does not have the usual keys."""
    add_parameters: Callable[[KeyValues, str, Hyperparameters], None] = _no_parameters
    """Metadata beyond what every family has; the string is the family's name."""
    has_long_rope: bool = False
    """Whether llama.cpp knows lists of frequency factors for it."""
    adapt: Callable[[Hyperparameters], Hyperparameters] = _as_read
    """Hyperparameters as llama.cpp counts them, and sizes that the rules name."""
    part: str = ""
    """What stands in the names of the tensors for text, if a checkpoint has others, too."""
    unused: tuple[str, ...] = ()
    """Tensors that a checkpoint may hold and llama.cpp does not want."""
    left_out: tuple[LeftOut, ...] = ()
    """The same, but the user should know."""
    notices: Callable[[Hyperparameters], Iterable[str]] = _no_notices
    """What else the user should know about such a model in llama.cpp."""
    made_tensors: Callable[[Hyperparameters], dict[str, Float32Array]] = _no_tensors
    """Vectors that are in no checkpoint, by GGUF name; they come first in the file."""
    before_vocabulary: Callable[[KeyValues, Mapping[str, Any]], None] = _no_tokenizer_settings
    """Metadata that follows from tokenizer_config.json, written before the vocabulary."""
    after_vocabulary: Callable[[KeyValues, Hyperparameters], None] = _nothing
    """Metadata written, or written over, after the vocabulary."""


def architecture_of(config: Mapping[str, Any]) -> Architecture:
    """The family that config.json names. Raises: UnsupportedError listing the known ones."""
    names = config.get("architectures")
    if not isinstance(names, list) or len(names) != 1 or not isinstance(names[0], str):
        raise CheckpointDamagedError(
            f"config.json: architectures is {str(names)[:80]}, not one name in a list"
        )
    if names[0] not in _MODULES:
        raise UnsupportedError(
            f"the architecture {names[0][:80]} is unknown; known are {', '.join(sorted(_MODULES))}"
        )
    architecture: Architecture = importlib.import_module(_MODULES[names[0]]).ARCHITECTURE
    return architecture


def read_parameters(config: Mapping[str, Any], architecture: Architecture) -> Hyperparameters:
    """What config.json says, as llama.cpp counts it. Raises: CheckpointDamagedError."""
    return architecture.adapt(read_hyperparameters(config, architecture.defaults))


def layer_rule(
    source: str,
    target: str,
    *shape: str,
    is_required: bool = True,
    arrange: Arrangement = as_stored,
    into: tuple[str, ...] = (),
    layers: Callable[[Hyperparameters], Iterable[int]] = every_layer,
    dtype: str = "",
) -> TensorRule:
    """The rule for a tensor of every layer; names without what all layers share."""
    return TensorRule(
        "model.layers.{bid}." + source,
        "blk.{bid}." + target,
        shape,
        is_required,
        arrange,
        into,
        layers,
        dtype,
    )


VOCABULARY_RULES: tuple[TensorRule, ...] = (
    TensorRule("model.embed_tokens.weight", "token_embd.weight", ("n_vocab", "n_embd")),
    TensorRule("model.norm.weight", "output_norm.weight", ("n_embd",)),
    TensorRule("lm_head.weight", "output.weight", ("n_vocab", "n_embd"), is_required=False),
)
"""Tokens to vectors, and back."""

FEED_FORWARD_RULES: tuple[TensorRule, ...] = (
    layer_rule("mlp.gate_proj.weight", "ffn_gate.weight", "n_ff", "n_embd"),
    layer_rule("mlp.up_proj.weight", "ffn_up.weight", "n_ff", "n_embd"),
    layer_rule("mlp.down_proj.weight", "ffn_down.weight", "n_embd", "n_ff"),
)
"""The gated feed-forward network."""

DECODER_RULES: tuple[TensorRule, ...] = (
    *VOCABULARY_RULES,
    *FEED_FORWARD_RULES,
    layer_rule("input_layernorm.weight", "attn_norm.weight", "n_embd"),
    layer_rule("self_attn.v_proj.weight", "attn_v.weight", "n_kv", "n_embd"),
    layer_rule("self_attn.o_proj.weight", "attn_output.weight", "n_embd", "n_q"),
    layer_rule("post_attention_layernorm.weight", "ffn_norm.weight", "n_embd"),
)
"""What pre-norm decoders with gated feed-forward and separate projections have in common."""


def without_feed_forward(rules: Iterable[TensorRule]) -> tuple[TensorRule, ...]:
    """The rules of a dense family but for its feed-forward network, for one that has experts."""
    return tuple(rule for rule in rules if ".mlp." not in rule.source)
