"""Owns Mistral Small 3.1, Magistral and Ministral 3: the part for text of models that also see.

Small 3.1 and Magistral are Mistral under another name. Ministral 3 stretches its rotary embedding
and sharpens attention far into a text; the two keys for that, and their values as they stand in
config.json, are those of conversion/mistral3.py. Defaults: transformers, Mistral3Config.
"""

from __future__ import annotations

from dataclasses import replace

from quant.errors import UnsupportedError
from quant.families.hyperparameters import Hyperparameters
from quant.families.mistral import ARCHITECTURE as MISTRAL
from quant.families.pictures import PICTURES
from quant.gguf.key_values import KeyValues


def _add_parameters(key_values: KeyValues, prefix: str, parameters: Hyperparameters) -> None:
    MISTRAL.add_parameters(key_values, prefix, parameters)
    kind, rope = parameters.values.get("model_type"), parameters.rope
    if kind == "mistral4":
        raise UnsupportedError("config.json: the part for text is mistral4, which is not supported")
    if kind == "ministral3":
        if rope.rope_type != "yarn":
            raise UnsupportedError(
                f"config.json: ministral3 with {rope.rope_type} rope scaling is not supported"
            )
        log_multiplier = rope.required("mscale_all_dim")
        key_values.real(f"{prefix}.rope.scaling.yarn_log_multiplier", log_multiplier)
        temperature = rope.required("llama_4_scaling_beta")
        key_values.real(f"{prefix}.attention.temperature_scale", temperature)


ARCHITECTURE = replace(
    MISTRAL,
    name="mistral3",
    defaults={
        "head_dim": 128,
        "hidden_size": 5120,
        "intermediate_size": 32768,
        "max_position_embeddings": 131072,
        "num_attention_heads": 32,
        "num_hidden_layers": 40,
        "num_key_value_heads": 8,
        "rms_norm_eps": 1e-5,
        "rope_theta": 1000000000.0,
        "vocab_size": 131072,
    },
    add_parameters=_add_parameters,
    part="language_model.",
    left_out=(PICTURES,),
)
