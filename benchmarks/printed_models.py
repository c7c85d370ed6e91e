"""Owns what a published load says of its model, in the key-values of the file it came from.

Logs print most key-values of a file and, in words of their own, the sizes that llama.cpp drew from
them. Where the first are missing or cut short, the second stand in.
"""

from __future__ import annotations

import json
from typing import Any

from benchmarks.published_loads import Load
from localr1.errors import ModelFileError
from localr1.metadata.reader import Metadata, read_metadata
from localr1.model_facts.card import ModelCard
from quant.gguf.types import TensorType

# the last part of a key, and what `print_info` of llama.cpp's src/llama-model.cpp calls its value
_PRINTED_AS = {
    "block_count": "n_layer",
    "context_length": "n_ctx_train",
    "embedding_length": "n_embd",
    "feed_forward_length": "n_ff",
    "vocab_size": "n_vocab",
    "rope.dimension_count": "n_rot",
    "attention.head_count": "n_head",
    "attention.head_count_kv": "n_head_kv",
    "attention.key_length": "n_embd_head_k",
    "attention.value_length": "n_embd_head_v",
    "attention.q_lora_rank": "n_lora_q",
    "attention.kv_lora_rank": "n_lora_kv",
    "expert_count": "n_expert",
    "expert_used_count": "n_expert_used",
    "expert_shared_count": "n_expert_shared",
    "expert_feed_forward_length": "n_ff_exp",
    "expert_shared_feed_forward_length": "n_ff_shexp",
    "leading_dense_block_count": "n_layer_dense_lead",
    "ssm.conv_kernel": "ssm_d_conv",
    "ssm.inner_size": "ssm_d_inner",
    "ssm.state_size": "ssm_d_state",
    "ssm.time_step_rank": "ssm_dt_rank",
}
_WINDOW = "attention.sliding_window"
_SHORTEST = 32_768  # a context length for logs that name none; only notices depend on it
_WIDTH_STEP = 128  # feed-forward networks are multiples of it, but for a few small models
_WIDTH_OF_TRIAL = 1024


def metadata_of(load: Load) -> Metadata:
    """The header that can be drawn from a load. Raises: ModelFileError if too little is printed."""
    if not load.text("arch"):
        raise ModelFileError("no architecture")
    values = _key_values(load)
    n_ff = f"{load.text('arch')}.feed_forward_length"
    if n_ff not in values and not load.count("n_expert") and (width := _width(load, values)):
        values[n_ff] = width
    return _read(load, values)


def _key_values(load: Load) -> dict[str, Any]:
    arch, stated = load.text("arch"), load.table("gguf_kv")
    values: dict[str, Any] = {f"{arch}.context_length": _SHORTEST, "general.architecture": arch}
    for key, name in _PRINTED_AS.items():
        if (value := load.per_layer(name)) is not None:
            values[f"{arch}.{key}"] = value
    # old versions print a window that they do not use
    if not stated and (window := load.count("n_swa")):
        values[f"{arch}.{_WINDOW}"] = window
    return values | dict(stated) | {f"{arch}.vocab_size": load.count("n_vocab")}


def _read(load: Load, values: dict[str, Any]) -> Metadata:
    counts = load.table("tensor_types")
    known = all(str(name).upper() in TensorType.__members__ for name in counts)
    document = {
        "gguf_kv": values,
        "tensor_types": dict(counts) if known else None,
        "file_bytes": load.file_bytes,
    }
    return read_metadata(json.dumps(document), load.id)


def _width(load: Load, values: dict[str, Any]) -> int | None:
    """The feed-forward width, from the number of parameters that it explains."""
    key = f"{load.text('arch')}.feed_forward_length"
    n_without, n_with = (
        ModelCard.from_header(_read(load, values | {key: width}).header).n_params
        for width in (0, _WIDTH_OF_TRIAL)
    )
    if not load.n_params or n_with == n_without:
        return None
    width = (load.n_params - n_without) / (n_with - n_without) * _WIDTH_OF_TRIAL
    return max(round(width / _WIDTH_STEP), 1) * _WIDTH_STEP
