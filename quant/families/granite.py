"""Owns dense Granite: a Llama with four multipliers.

llama.cpp cannot have heads of another size than embedding by heads here; a config that wants them
is refused. Defaults: transformers, GraniteConfig.
"""

from __future__ import annotations

from dataclasses import replace

from quant.errors import UnsupportedError
from quant.families.hyperparameters import Hyperparameters
from quant.families.llama import ARCHITECTURE as LLAMA
from quant.gguf.key_values import KeyValues

_MULTIPLIERS = {
    "attention.scale": "attention_multiplier",
    "embedding_scale": "embedding_multiplier",
    "residual_scale": "residual_multiplier",
    "logit_scale": "logits_scaling",
}


def _add_parameters(key_values: KeyValues, prefix: str, parameters: Hyperparameters) -> None:
    if parameters.head_dim * parameters.n_head != parameters.n_embd:
        raise UnsupportedError(
            f"config.json: Granite with heads of {parameters.head_dim} is not supported"
        )
    LLAMA.add_parameters(key_values, prefix, parameters)
    for key, option in _MULTIPLIERS.items():
        if multiplier := parameters.number(option):
            key_values.real(f"{prefix}.{key}", multiplier)


ARCHITECTURE = replace(
    LLAMA,
    name="granite",
    defaults={
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        **dict.fromkeys(_MULTIPLIERS.values(), 1.0),
    },
    states_head_dim=False,
    add_parameters=_add_parameters,
)
