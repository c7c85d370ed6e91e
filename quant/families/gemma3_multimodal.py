"""Owns Gemma 3 that also sees: the part for text is Gemma 3, the part for pictures is left out.

llama.cpp keeps what sees in a file of its own (mmproj), which is not made here. config.json nests
the part for text and leaves out what is as usual. Defaults: transformers, Gemma3TextConfig.
"""

from __future__ import annotations

from dataclasses import replace

from quant.families.architecture import LeftOut
from quant.families.gemma3 import ARCHITECTURE as GEMMA3
from quant.families.hyperparameters import Hyperparameters

_FOR_PICTURES = ("vision_tower.", "multi_modal_projector.")


def _is_for_pictures(name: str, _parameters: Hyperparameters) -> bool:
    return name.removeprefix("model.").startswith(_FOR_PICTURES)


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
    left_out=(LeftOut(_is_for_pictures, "the part that sees pictures is left out ({n} tensors)"),),
)
