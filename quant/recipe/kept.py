"""Owns which tensors are never quantised: too small to be worth it, or too delicate.

Source: src/llama-quant.cpp, tensor_allows_quantization, version 0.3.36 of llama-cpp-python.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

_PARTS = (
    "_norm.weight",
    "ffn_gate_inp.weight",  # picks the experts
    "ffn_gate_tid2eid.weight",
    "altup", "laurel", "per_layer_model_proj",
    "ssm_conv1d", "shortconv.conv.weight",
    "indexer.k_proj.weight", "indexer.q_proj.weight",
    *(f"time_mix_{part}.weight" for part in (
        "first", "w0", "w1", "w2", "v0", "v1", "v2", "a0", "a1", "a2", "g1", "g2",
        "decay_w1", "decay_w2", "lerp_fused",
    )),
    "attn_rel_b.weight",
    ".position_embd", "sam.pos_embd", "sam.neck.", "sam.net_",
    ".rel_pos", ".patch_embd", ".patch_merger",
    "a.rvq.codebook", "mm.a.code_embd",
)  # fmt: skip
"""A name with one of these in it is left alone."""

_NAMES = ("position_embd.weight", "token_types.weight")

_PARTS_OF_GLM5_NEXT = (
    "hc_", "indexer.attn_q_b", "indexer.attn_k", "indexer.proj", "indexer_compressor_gate",
    "indexer_compressor_ape", "ssm_f_a.weight", "ssm_f_b.weight", "ssm_g_a.weight",
    "ssm_g_b.weight", "ssm_beta.weight", "attn_kv_a_mqa.weight", "attn_k_b.weight",
    "attn_v_b.weight",
)  # fmt: skip


def _any_of(parts: Sequence[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, parts)))


_KEPT = _any_of(_PARTS)
_KEPT_IN_GLM5_NEXT = _any_of(_PARTS + _PARTS_OF_GLM5_NEXT)


def is_quantisable(name: str, shape: tuple[int, ...], architecture: str) -> bool:
    """Whether the tensor takes part in the mix. `shape` has the row length last."""
    return _has_rows(shape) and _is_quantisable_name(name, architecture == "glm5-next")


@lru_cache(maxsize=2**14)  # every model and every type asks for the same names again
def _is_quantisable_name(name: str, is_glm5_next: bool) -> bool:  # noqa: FBT001 - part of a key
    kept = _KEPT_IN_GLM5_NEXT if is_glm5_next else _KEPT
    return name.endswith("weight") and name not in _NAMES and kept.search(name) is None


def _has_rows(shape: tuple[int, ...]) -> bool:
    """More than one: ggml does not count outer dimensions of 1."""
    return max(shape[:-1], default=1) > 1
