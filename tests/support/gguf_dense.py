"""Makes GGUF files of dense transformers whose weights are holes: shapes without substance.

llama.cpp sizes such a file like any other. Names and shapes follow the architecture's
`load_arch_tensors` in llama.cpp's src/models/.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.support.gguf_writer import F32, Q8_0, Value, write_model


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseShape:
    """A small transformer; defaults are about as small as the block sizes allow."""

    arch: str = "qwen2"
    n_layer: int = 3
    n_embd: int = 256
    n_head: int = 4
    n_head_kv: int = 2
    head_dim: int = 64
    n_ff: int = 768
    n_vocab: int = 1024
    n_ctx_train: int = 8192
    n_swa: int = 0
    is_tied: bool = False
    type_id: int = Q8_0


def write_dense(path: Path, shape: DenseShape) -> Path:
    """A loadable GGUF of that shape, with a tokenizer of made-up words."""
    tensors: dict[str, tuple[tuple[int, ...], int]] = {
        "token_embd.weight": ((shape.n_embd, shape.n_vocab), shape.type_id)
    }
    if not shape.is_tied:
        tensors["output.weight"] = ((shape.n_embd, shape.n_vocab), shape.type_id)
    tensors["output_norm.weight"] = ((shape.n_embd,), F32)
    for i_layer in range(shape.n_layer):
        for name, dims in _layer(shape).items():
            type_id = F32 if len(dims) == 1 else shape.type_id
            tensors[f"blk.{i_layer}.{name}"] = (dims, type_id)
    return write_model(path, key_values(shape), tensors)


def _layer(shape: DenseShape) -> dict[str, tuple[int, ...]]:
    q_width, kv_width = shape.n_head * shape.head_dim, shape.n_head_kv * shape.head_dim
    tensors: dict[str, tuple[int, ...]] = {
        "attn_norm.weight": (shape.n_embd,),
        "attn_q.weight": (shape.n_embd, q_width),
        "attn_k.weight": (shape.n_embd, kv_width),
        "attn_v.weight": (shape.n_embd, kv_width),
        "attn_output.weight": (q_width, shape.n_embd),
        "ffn_norm.weight": (shape.n_embd,),
        "ffn_gate.weight": (shape.n_embd, shape.n_ff),
        "ffn_up.weight": (shape.n_embd, shape.n_ff),
        "ffn_down.weight": (shape.n_ff, shape.n_embd),
    }
    if shape.arch == "qwen2":
        tensors |= {
            "attn_q.bias": (q_width,),
            "attn_k.bias": (kv_width,),
            "attn_v.bias": (kv_width,),
        }
    if shape.arch in {"qwen3", "gemma3"}:
        tensors |= {
            "attn_q_norm.weight": (shape.head_dim,),
            "attn_k_norm.weight": (shape.head_dim,),
        }
    if shape.arch.startswith("gemma"):
        tensors |= {
            "post_attention_norm.weight": (shape.n_embd,),
            "post_ffw_norm.weight": (shape.n_embd,),
        }
    return tensors


def key_values(shape: DenseShape) -> dict[str, Value]:
    """Everything but the tensors."""
    arch = shape.arch
    values: dict[str, Value] = {
        "general.architecture": arch,
        "general.name": f"tiny {arch}",
        "general.file_type": 7,
        f"{arch}.block_count": shape.n_layer,
        f"{arch}.context_length": shape.n_ctx_train,
        f"{arch}.embedding_length": shape.n_embd,
        f"{arch}.feed_forward_length": shape.n_ff,
        f"{arch}.attention.head_count": shape.n_head,
        f"{arch}.attention.head_count_kv": shape.n_head_kv,
        f"{arch}.attention.key_length": shape.head_dim,
        f"{arch}.attention.value_length": shape.head_dim,
        f"{arch}.rope.dimension_count": shape.head_dim,
        f"{arch}.attention.layer_norm_rms_epsilon": 1e-6,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.tokens": [f"w{i}" for i in range(shape.n_vocab)],
        "tokenizer.ggml.token_type": [1] * shape.n_vocab,
        "tokenizer.ggml.merges": ["w 1"],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
    }
    if shape.n_swa:
        values[f"{arch}.attention.sliding_window"] = shape.n_swa
    return values
