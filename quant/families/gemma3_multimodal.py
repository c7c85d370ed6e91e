"""Owns Gemma 3 that also sees, of which the part for text is Gemma 3.

config.json nests that part and leaves out what is as usual. Defaults: transformers,
Gemma3TextConfig.
"""

from __future__ import annotations

from dataclasses import replace

from quant.families.gemma3 import ARCHITECTURE as GEMMA3
from quant.families.pictures import PICTURES

ARCHITECTURE = replace(
    GEMMA3,
    defaults={
        **GEMMA3.defaults,
        "hidden_size": 2304,
        "intermediate_size": 9216,
        "num_hidden_layers": 26,
        "vocab_size": 262208,
    },
    part="language_model.",
    left_out=(PICTURES,),
)
