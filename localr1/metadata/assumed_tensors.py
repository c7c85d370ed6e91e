"""Owns the tensors a model must have, where only its key-values are known.

A log or a model page prints the key-values of a GGUF but not its tensor table. Families that the
planner knows are built from their sizes; any other is taken to be built like llama, with the same
weights to within norms and biases. Shapes follow `load_arch_tensors` in src/models/*.cpp of
llama.cpp at the pinned version. Dimensions are ggml's: row length first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

Dims = tuple[int, ...]

LEARNED_POSITIONS = frozenset({"starcoder"})
"""These have a table of positions, one row for each."""

_BIASED = frozenset({"gpt-oss", "qwen", "qwen2", "qwen2moe", "seed_oss"})
_NORMS_HEADS = frozenset({"gemma3", "gemma3n", "gemma4", "qwen3", "qwen3moe"})
_FUSED = frozenset({"codeshell", "phi2", "phi3", "qwen", "starcoder"})
_FUSED_GATE = frozenset({"glm4", "phi3"})
_UNGATED = frozenset({"codeshell", "phi2", "starcoder"})
_POST_NORMS = frozenset({"gemma2", "gemma3", "gemma3n", "gemma4", "glm4", "olmo2"})
_TIED = frozenset({"command-r", "gemma", "gemma2", "gemma3", "gemma3n", "gemma4"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Of one layer, and of the vocabulary."""

    arch: str
    n_embd: int
    n_vocab: int
    n_head: int
    n_head_kv: int
    dim_k: int
    dim_v: int
    n_ff: int
    n_expert: int = 0
    n_ff_exp: int = 0
    n_ff_shared: int = 0
    n_lora_q: int = 0
    n_latent: int = 0
    n_rope: int = 0
    dim_v_unfolded: int = 0
    """Values per head where attention is latent and absorbed, else 0."""
    has_selection_bias: bool = False


def model_tensors(sizes: Sizes) -> Mapping[str, Dims]:
    """What belongs to no layer."""
    matrix = (sizes.n_embd, sizes.n_vocab)
    tensors: dict[str, Dims] = {
        "token_embd.weight": matrix,
        "output_norm.weight": (sizes.n_embd,),
    }
    is_encoder = "bert" in sizes.arch or "t5" in sizes.arch
    return tensors if is_encoder or sizes.arch in _TIED else tensors | {"output.weight": matrix}


def layer_tensors(sizes: Sizes, *, has_experts: bool) -> Mapping[str, Dims]:
    """The tensors of a layer by their names within it."""
    tensors = dict(_norms(sizes))
    tensors |= _latent(sizes) if sizes.n_latent else _attention(sizes)
    return tensors | (_experts(sizes) if has_experts else _dense(sizes))


def _norms(sizes: Sizes) -> Iterator[tuple[str, Dims]]:
    vector = (sizes.n_embd,)
    if sizes.arch != "olmo2":
        yield "attn_norm.weight", vector
    if sizes.arch not in {"olmo2", "gpt-oss"}:
        yield "ffn_norm.weight", vector
    if sizes.arch in _POST_NORMS:
        yield "post_ffw_norm.weight", vector
    if sizes.arch in _POST_NORMS | {"gpt-oss"}:
        yield "post_attention_norm.weight", vector


def _attention(sizes: Sizes) -> dict[str, Dims]:
    n_embd, n_q = sizes.n_embd, sizes.n_head * sizes.dim_k
    n_k, n_v = sizes.n_head_kv * sizes.dim_k, sizes.n_head_kv * sizes.dim_v
    tensors: dict[str, Dims] = {"attn_output.weight": (sizes.n_head * sizes.dim_v, n_embd)}
    if sizes.arch in _FUSED:
        tensors["attn_qkv.weight"] = (n_embd, n_q + n_k + n_v)
        return tensors
    widths = {"attn_q": n_q, "attn_k": n_k, "attn_v": n_v}
    tensors |= {f"{name}.weight": (n_embd, width) for name, width in widths.items()}
    if sizes.arch in _BIASED:
        tensors |= {f"{name}.bias": (width,) for name, width in widths.items()}
    if sizes.arch == "gpt-oss":
        tensors |= {"attn_output.bias": (n_embd,), "attn_sinks.weight": (sizes.n_head,)}
    if sizes.arch in _NORMS_HEADS:
        tensors |= {f"{name}_norm.weight": (sizes.dim_k,) for name in ("attn_q", "attn_k")}
    if sizes.arch == "olmo2":
        tensors |= {f"{name}_norm.weight": (widths[name],) for name in ("attn_q", "attn_k")}
    return tensors


def _latent(sizes: Sizes) -> dict[str, Dims]:
    n_embd, n_head, n_latent = sizes.n_embd, sizes.n_head, sizes.n_latent
    n_q = n_head * sizes.dim_k
    tensors: dict[str, Dims] = {
        "attn_kv_a_mqa.weight": (n_embd, n_latent + sizes.n_rope),
        "attn_kv_a_norm.weight": (n_latent,),
    }
    if sizes.n_lora_q:
        tensors |= {
            "attn_q_a.weight": (n_embd, sizes.n_lora_q),
            "attn_q_a_norm.weight": (sizes.n_lora_q,),
            "attn_q_b.weight": (sizes.n_lora_q, n_q),
        }
    else:
        tensors["attn_q.weight"] = (n_embd, n_q)
    n_nope = sizes.dim_k - sizes.n_rope
    if sizes.dim_v_unfolded:
        return tensors | {
            "attn_k_b.weight": (n_nope, n_latent, n_head),
            "attn_v_b.weight": (n_latent, sizes.dim_v_unfolded, n_head),
            "attn_output.weight": (n_head * sizes.dim_v_unfolded, n_embd),
        }
    return tensors | {
        "attn_kv_b.weight": (n_latent, n_head * (n_nope + sizes.dim_v)),
        "attn_output.weight": (n_head * sizes.dim_v, n_embd),
    }


def _dense(sizes: Sizes) -> dict[str, Dims]:
    n_embd, n_ff = sizes.n_embd, sizes.n_ff // (2 if sizes.arch == "qwen" else 1)
    down: dict[str, Dims] = {"ffn_down.weight": (n_ff, n_embd)}
    if sizes.arch in _FUSED_GATE:
        return down | {"ffn_up.weight": (n_embd, 2 * n_ff)}
    up: dict[str, Dims] = {"ffn_up.weight": (n_embd, n_ff)}
    return down | up if sizes.arch in _UNGATED else down | up | {"ffn_gate.weight": (n_embd, n_ff)}


def _experts(sizes: Sizes) -> dict[str, Dims]:
    n_embd, n_ff, n_expert = sizes.n_embd, sizes.n_ff_exp, sizes.n_expert
    tensors: dict[str, Dims] = {
        "ffn_gate_inp.weight": (n_embd, n_expert),
        "ffn_gate_exps.weight": (n_embd, n_ff, n_expert),
        "ffn_up_exps.weight": (n_embd, n_ff, n_expert),
        "ffn_down_exps.weight": (n_ff, n_embd, n_expert),
    }
    if sizes.arch == "gpt-oss":
        tensors |= {
            "ffn_gate_inp.bias": (n_expert,),
            "ffn_gate_exps.bias": (n_ff, n_expert),
            "ffn_up_exps.bias": (n_ff, n_expert),
            "ffn_down_exps.bias": (n_embd, n_expert),
        }
    if sizes.has_selection_bias:
        tensors["exp_probs_b.bias"] = (n_expert,)
    if sizes.n_ff_shared:
        tensors |= {
            "ffn_gate_shexp.weight": (n_embd, sizes.n_ff_shared),
            "ffn_up_shexp.weight": (n_embd, sizes.n_ff_shared),
            "ffn_down_shexp.weight": (sizes.n_ff_shared, n_embd),
        }
    if sizes.arch == "qwen2moe":
        tensors["ffn_gate_inp_shexp.weight"] = (n_embd,)
    return tensors
