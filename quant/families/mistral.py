"""Owns Mistral, which llama.cpp runs as a Llama.

A sliding window, which only the first release had, is not written: llama.cpp attends to everything.
Defaults: transformers, MistralConfig.
"""

from __future__ import annotations

from dataclasses import replace

from quant.families.llama import ARCHITECTURE as LLAMA

ARCHITECTURE = replace(
    LLAMA,
    defaults={
        "max_position_embeddings": 131072,
        "num_key_value_heads": 8,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
    },
)
