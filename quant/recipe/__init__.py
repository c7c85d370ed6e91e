"""Which encoding each tensor of an output gets; mirrors the quantiser and converter of llama.cpp.

`choice` decides. `mix` holds the rules of each file type, `kept` the tensors that are never
quantised.
"""

from quant.recipe.choice import (
    FILE_TYPES,
    TypedTensor,
    choose_types,
    choose_types_of_gguf,
    file_type_named,
    is_mixed,
    types_of_checkpoint,
    types_of_gguf,
)
from quant.recipe.mix import ModelFacts

__all__ = [
    "FILE_TYPES",
    "ModelFacts",
    "TypedTensor",
    "choose_types",
    "choose_types_of_gguf",
    "file_type_named",
    "is_mixed",
    "types_of_checkpoint",
    "types_of_gguf",
]
