"""Model cards of any shape with real tensor names, and those of models everybody knows."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from localr1.model_facts.card import ModelCard
from localr1.model_facts.experts import Experts
from quant.gguf.contents import TensorInfo
from quant.gguf.types import TensorType
from tests.support.plan_cards import qwen_7b


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What decides how big a transformer is. Matrices are of one type, the output may differ."""

    name: str = "a model"
    arch: str = "llama"
    n_layer: int
    n_embd: int
    n_head: int
    n_head_kv: int
    head_dim: int = 128
    n_ff: int
    n_vocab: int
    n_ctx_train: int = 131_072
    type_name: str = "Q4_K"
    output_type: str = "Q6_K"
    is_tied: bool = False
    n_expert: int = 0
    n_expert_used: int = 0
    n_ff_expert: int = 0


LLAMA_8B = Shape(
    name="Llama 8B",
    n_layer=32,
    n_embd=4096,
    n_head=32,
    n_head_kv=8,
    n_ff=14_336,
    n_vocab=128_256,
)
LLAMA_70B = replace(LLAMA_8B, name="Llama 70B", n_layer=80, n_embd=8192, n_head=64, n_ff=28_672)
QWEN_32B = Shape(
    name="R1 Distill Qwen 32B",
    arch="qwen2",
    n_layer=64,
    n_embd=5120,
    n_head=40,
    n_head_kv=8,
    n_ff=27_648,
    n_vocab=152_064,
)
QWEN_1_5B = Shape(
    name="R1 Distill Qwen 1.5B",
    arch="qwen2",
    n_layer=28,
    n_embd=1536,
    n_head=12,
    n_head_kv=2,
    n_ff=8960,
    n_vocab=151_936,
)
QWEN_30B_A3B = Shape(
    name="Qwen3 30B A3B",
    arch="qwen3moe",
    n_layer=48,
    n_embd=2048,
    n_head=32,
    n_head_kv=4,
    n_ff=6144,
    n_vocab=151_936,
    n_expert=128,
    n_expert_used=8,
    n_ff_expert=768,
)
# its attention is latent; here one of plain heads has the same weights and about the same cache
DEEPSEEK_671B = Shape(
    name="DeepSeek R1",
    n_layer=61,
    n_embd=7168,
    n_head=100,
    n_head_kv=2,
    n_ff=18_432,
    n_vocab=129_280,
    n_ctx_train=163_840,
    n_expert=256,
    n_expert_used=8,
    n_ff_expert=2048,
)


def card_of(shape: Shape) -> ModelCard:
    """A card with every tensor that the shape needs, one after the other in the file."""
    tensors, offset = [], 0
    for name, dims, type_name in _tensors(shape):
        n_bytes = TensorType[type_name].n_bytes(math.prod(dims))
        tensors.append(TensorInfo(name, type_name, dims, offset, n_bytes))
        offset += n_bytes
    every_layer = shape.n_layer
    return replace(
        qwen_7b(),
        name=shape.name,
        arch=shape.arch,
        quant=shape.type_name,
        n_params=sum(math.prod(tensor.dims) for tensor in tensors),
        file_bytes=offset,
        n_layer=shape.n_layer,
        n_embd=shape.n_embd,
        n_vocab=shape.n_vocab,
        n_ctx_train=shape.n_ctx_train,
        n_ff=(shape.n_ff,) * every_layer,
        n_head=(shape.n_head,) * every_layer,
        n_head_kv=(shape.n_head_kv,) * every_layer,
        head_dim_k=(shape.head_dim,) * every_layer,
        head_dim_v=(shape.head_dim,) * every_layer,
        is_swa=(False,) * every_layer,
        has_kv=(True,) * every_layer,
        state_numbers=(0,) * every_layer,
        experts=Experts(shape.n_expert, shape.n_expert_used) if shape.n_expert else None,
        is_tied=shape.is_tied,
        tensors=tuple(tensors),
    )


def _tensors(shape: Shape) -> list[tuple[str, tuple[int, ...], str]]:
    embedding = (shape.n_embd, shape.n_vocab)
    found: list[tuple[str, tuple[int, ...], str]] = [
        ("token_embd.weight", embedding, shape.output_type if shape.is_tied else shape.type_name)
    ]
    for i in range(shape.n_layer):
        found += [(f"blk.{i}.{name}", dims, kind) for name, dims, kind in _layer(shape)]
    found.append(("output_norm.weight", (shape.n_embd,), "F32"))
    if not shape.is_tied:
        found.append(("output.weight", embedding, shape.output_type))
    return found


def _layer(shape: Shape) -> list[tuple[str, tuple[int, ...], str]]:
    n_embd, q_width = shape.n_embd, shape.n_head * shape.head_dim
    kv_width = shape.n_head_kv * shape.head_dim
    matrices: list[tuple[str, tuple[int, ...]]] = [
        ("attn_q.weight", (n_embd, q_width)),
        ("attn_k.weight", (n_embd, kv_width)),
        ("attn_v.weight", (n_embd, kv_width)),
        ("attn_output.weight", (q_width, n_embd)),
    ]
    norms: list[tuple[str, tuple[int, ...]]] = [
        ("attn_norm.weight", (n_embd,)),
        ("ffn_norm.weight", (n_embd,)),
    ]
    if shape.n_expert:
        into = (n_embd, shape.n_ff_expert, shape.n_expert)
        back = (shape.n_ff_expert, n_embd, shape.n_expert)
        matrices += [
            ("ffn_gate_exps.weight", into),
            ("ffn_up_exps.weight", into),
            ("ffn_down_exps.weight", back),
        ]
        norms.append(("ffn_gate_inp.weight", (n_embd, shape.n_expert)))
    else:
        matrices += [
            ("ffn_gate.weight", (n_embd, shape.n_ff)),
            ("ffn_up.weight", (n_embd, shape.n_ff)),
            ("ffn_down.weight", (shape.n_ff, n_embd)),
        ]
    return [
        *((name, dims, shape.type_name) for name, dims in matrices),
        *((name, dims, "F32") for name, dims in norms),
    ]
