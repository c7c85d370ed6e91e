"""Makes GGUF files of mixtures of experts whose weights are holes: shapes without substance.

Names and shapes follow `load_arch_tensors` in llama.cpp's src/models/{qwen2moe,qwen3moe,llama,
openai-moe,deepseek2}.cpp.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.support.gguf_dense import DenseShape, key_values
from tests.support.gguf_writer import F32, Q8_0, Value, write_model

Dims = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertShape:
    """A small mixture of experts."""

    arch: str
    n_layer: int = 3
    n_embd: int = 256
    n_head: int = 4
    n_head_kv: int = 2
    head_dim: int = 64
    n_vocab: int = 1024
    n_ff: int = 768
    n_ff_exp: int = 128
    n_ff_shared: int = 320
    n_expert: int = 16
    n_used: int = 4
    n_swa: int = 0
    n_dense: int = 0
    """Leading layers without experts."""
    n_groups: int = 1
    gating: int = 0
    is_normalised: bool = False
    scale: float = 1.0
    has_selection_bias: bool = False
    n_lora_q: int = 0
    n_latent: int = 128
    n_rope: int = 32
    n_nope: int = 64
    dim_v: int = 96


def write_experts(path: Path, shape: ExpertShape) -> Path:
    """A loadable GGUF of that shape."""
    tensors: dict[str, Dims] = {
        "token_embd.weight": (shape.n_embd, shape.n_vocab),
        "output.weight": (shape.n_embd, shape.n_vocab),
        "output_norm.weight": (shape.n_embd,),
    }
    for i_layer in range(shape.n_layer):
        attention = _latent(shape) if shape.arch == "deepseek2" else _attention(shape)
        network = _dense(shape) if i_layer < shape.n_dense else _experts(shape)
        for name, dims in (attention | network).items():
            tensors[f"blk.{i_layer}.{name}"] = dims
    return write_model(
        path,
        _values(shape),
        {name: (dims, _type(name, dims)) for name, dims in tensors.items()},
    )


def _type(name: str, dims: Dims) -> int:
    is_small = len(dims) == 1 or name.endswith((".bias", "ffn_gate_inp.weight"))
    return F32 if is_small else Q8_0


def _attention(shape: ExpertShape) -> dict[str, Dims]:
    q_width, kv_width = shape.n_head * shape.head_dim, shape.n_head_kv * shape.head_dim
    tensors: dict[str, Dims] = {
        "attn_norm.weight": (shape.n_embd,),
        "attn_q.weight": (shape.n_embd, q_width),
        "attn_k.weight": (shape.n_embd, kv_width),
        "attn_v.weight": (shape.n_embd, kv_width),
        "attn_output.weight": (q_width, shape.n_embd),
    }
    if shape.arch in {"qwen2moe", "gpt-oss"}:
        tensors |= {
            "attn_q.bias": (q_width,),
            "attn_k.bias": (kv_width,),
            "attn_v.bias": (kv_width,),
        }
    if shape.arch == "qwen3moe":
        tensors |= {
            "attn_q_norm.weight": (shape.head_dim,),
            "attn_k_norm.weight": (shape.head_dim,),
        }
    if shape.arch == "gpt-oss":
        return tensors | {
            "post_attention_norm.weight": (shape.n_embd,),
            "attn_output.bias": (shape.n_embd,),
            "attn_sinks.weight": (shape.n_head,),
        }
    return tensors | {"ffn_norm.weight": (shape.n_embd,)}


def _latent(shape: ExpertShape) -> dict[str, Dims]:
    head_dim = shape.n_nope + shape.n_rope
    if shape.n_lora_q:
        query: dict[str, Dims] = {
            "attn_q_a.weight": (shape.n_embd, shape.n_lora_q),
            "attn_q_a_norm.weight": (shape.n_lora_q,),
            "attn_q_b.weight": (shape.n_lora_q, shape.n_head * head_dim),
        }
    else:
        query = {"attn_q.weight": (shape.n_embd, shape.n_head * head_dim)}
    return query | {
        "attn_norm.weight": (shape.n_embd,),
        "attn_kv_a_mqa.weight": (shape.n_embd, shape.n_latent + shape.n_rope),
        "attn_kv_a_norm.weight": (shape.n_latent,),
        "attn_k_b.weight": (shape.n_nope, shape.n_latent, shape.n_head),
        "attn_v_b.weight": (shape.n_latent, shape.dim_v, shape.n_head),
        "attn_output.weight": (shape.n_head * shape.dim_v, shape.n_embd),
        "ffn_norm.weight": (shape.n_embd,),
    }


def _dense(shape: ExpertShape) -> dict[str, Dims]:
    return {
        "ffn_gate.weight": (shape.n_embd, shape.n_ff),
        "ffn_up.weight": (shape.n_embd, shape.n_ff),
        "ffn_down.weight": (shape.n_ff, shape.n_embd),
    }


def _experts(shape: ExpertShape) -> dict[str, Dims]:
    n_embd, n_ff, n_expert = shape.n_embd, shape.n_ff_exp, shape.n_expert
    tensors: dict[str, Dims] = {
        "ffn_gate_inp.weight": (n_embd, n_expert),
        "ffn_gate_exps.weight": (n_embd, n_ff, n_expert),
        "ffn_up_exps.weight": (n_embd, n_ff, n_expert),
        "ffn_down_exps.weight": (n_ff, n_embd, n_expert),
    }
    if shape.arch == "gpt-oss":
        tensors |= {
            "ffn_gate_inp.bias": (n_expert,),
            "ffn_gate_exps.bias": (n_ff, n_expert),
            "ffn_up_exps.bias": (n_ff, n_expert),
            "ffn_down_exps.bias": (n_embd, n_expert),
        }
    if shape.arch in {"qwen2moe", "deepseek2"}:
        tensors |= {
            "ffn_gate_shexp.weight": (n_embd, shape.n_ff_shared),
            "ffn_up_shexp.weight": (n_embd, shape.n_ff_shared),
            "ffn_down_shexp.weight": (shape.n_ff_shared, n_embd),
        }
    if shape.arch == "qwen2moe":
        tensors["ffn_gate_inp_shexp.weight"] = (n_embd,)
    if shape.has_selection_bias:
        tensors["exp_probs_b.bias"] = (n_expert,)
    return tensors


def _values(shape: ExpertShape) -> dict[str, Value]:
    arch = shape.arch
    dense = DenseShape(
        arch=arch,
        n_layer=shape.n_layer,
        n_embd=shape.n_embd,
        n_head=shape.n_head,
        n_head_kv=shape.n_head_kv,
        head_dim=shape.head_dim,
        n_ff=shape.n_ff,
        n_vocab=shape.n_vocab,
        n_swa=shape.n_swa,
    )
    values: dict[str, Value] = key_values(dense) | {
        f"{arch}.expert_count": shape.n_expert,
        f"{arch}.expert_used_count": shape.n_used,
        f"{arch}.expert_feed_forward_length": shape.n_ff_exp,
        f"{arch}.expert_weights_scale": shape.scale,
    }
    if shape.gating:
        values[f"{arch}.expert_gating_func"] = shape.gating
    if shape.n_groups > 1:
        values |= {
            f"{arch}.expert_group_count": shape.n_groups,
            f"{arch}.expert_group_used_count": shape.n_groups // 2,
        }
    if arch in {"qwen2moe", "deepseek2"}:
        values[f"{arch}.expert_shared_feed_forward_length"] = shape.n_ff_shared
    if arch != "deepseek2":
        return values
    if shape.n_lora_q:
        values[f"{arch}.attention.q_lora_rank"] = shape.n_lora_q
    values |= {
        f"{arch}.leading_dense_block_count": shape.n_dense,
        f"{arch}.expert_shared_count": shape.n_ff_shared // shape.n_ff_exp,
        f"{arch}.expert_weights_norm": shape.is_normalised,
        f"{arch}.attention.head_count_kv": 1,
        f"{arch}.attention.kv_lora_rank": shape.n_latent,
        f"{arch}.attention.key_length": shape.n_latent + shape.n_rope,
        f"{arch}.attention.value_length": shape.n_latent,
        f"{arch}.attention.key_length_mla": shape.n_nope + shape.n_rope,
        f"{arch}.attention.value_length_mla": shape.dim_v,
        f"{arch}.rope.dimension_count": shape.n_rope,
    }
    return values
