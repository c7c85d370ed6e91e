"""Owns SmolLM3: a Llama in which every fourth layer has no rotary embedding.

llama.cpp builds the fourth in (src/models/smollm3.cpp), so a config that says otherwise is refused.
Defaults: transformers, SmolLM3Config.
"""

from __future__ import annotations

from dataclasses import replace

from quant.errors import UnsupportedError
from quant.families.hyperparameters import Hyperparameters
from quant.families.llama import ARCHITECTURE as LLAMA
from quant.gguf.key_values import KeyValues

_LAYERS_PER_BARE_ONE = 4


def _add_parameters(key_values: KeyValues, prefix: str, parameters: Hyperparameters) -> None:
    stated = parameters.values.get("no_rope_layers")
    built_in = [int((bid + 1) % _LAYERS_PER_BARE_ONE != 0) for bid in range(parameters.n_layer)]
    step = parameters.values.get("no_rope_layer_interval", _LAYERS_PER_BARE_ONE)
    if (stated or built_in) != built_in or (not stated and step != _LAYERS_PER_BARE_ONE):
        raise UnsupportedError(
            "config.json: no_rope_layers is not every fourth layer, which is all llama.cpp knows"
        )
    LLAMA.add_parameters(key_values, prefix, parameters)


ARCHITECTURE = replace(
    LLAMA,
    name="smollm3",
    defaults={
        "max_position_embeddings": 32768,
        "num_key_value_heads": 4,
        "rms_norm_eps": 1e-6,
        "rope_theta": 2000000.0,
    },
    states_head_dim=None,
    add_parameters=_add_parameters,
)
