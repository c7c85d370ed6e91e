"""Owns a model card as it would be in another quantisation, by the mixes that `convert` writes."""

from __future__ import annotations

import math
from dataclasses import replace

from localr1.metadata.assumed_types import without_rows
from localr1.model_facts.card import ModelCard
from quant.gguf.contents import TensorInfo
from quant.gguf.types import FileType, TensorType
from quant.recipe import ModelFacts, types_of_gguf


def requantised(card: ModelCard, file_type: FileType) -> ModelCard:
    """The same model with the types, sizes and order of tensors of that file type.

    Raises: BadRequestError where rows do not fit a type.
    """
    tensors = [without_rows(t.name, t.dims, t.type_name) for t in card.tensors]
    facts = ModelFacts(
        architecture=card.arch,
        n_layer=card.n_layer,
        n_head=card.n_head[0],
        n_head_kv=card.n_head_kv[0],
        n_expert=card.experts.n_expert if card.experts else 0,
    )
    # experts in MXFP4 are what the model was published in: they stay, as `convert` leaves them
    stays = {t.name: TensorType.MXFP4 for t in tensors if t.type_name == "MXFP4"}
    retyped, offset = [], 0
    for tensor, kind in types_of_gguf(
        tensors, file_type, facts, lambda tensor: TensorType[tensor.type_name], overrides=stays
    ):
        n_bytes = kind.n_bytes(math.prod(tensor.shape))
        retyped.append(TensorInfo(tensor.name, kind.name, tensor.shape[::-1], offset, n_bytes))
        offset += n_bytes
    beside_bytes = max(card.file_bytes - sum(t.n_bytes for t in card.tensors), 0)
    return replace(
        card, quant=file_type.name, tensors=tuple(retyped), file_bytes=offset + beside_bytes
    )
