"""Owns what is left out of a model that also sees: the part for pictures.

llama.cpp keeps that part in a file of its own (mmproj), which is not made here.
"""

from __future__ import annotations

from quant.families.architecture import LeftOut
from quant.families.hyperparameters import Hyperparameters

_PARTS = ("vision_tower.", "multi_modal_projector.")


def _is_for_pictures(name: str, _parameters: Hyperparameters) -> bool:
    return name.removeprefix("model.").startswith(_PARTS)


PICTURES = LeftOut(_is_for_pictures, "the part that sees pictures is left out ({n} tensors)")
