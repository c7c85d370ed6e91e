"""The true shapes of published models, as tables of tensors: nothing but names and sizes.

Written as GGUF files they are headers before a hole. Names and shapes follow the architectures'
`load_arch_tensors` in llama.cpp's src/models/, sizes the models' own config.json.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.gguf_writer import F32, I8, Value, write_model

Dims = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Experts:
    """The feed-forward part of a mixture."""

    n_expert: int
    n_ff: int
    n_ff_shared: int = 0
    n_dense: int = 0
    """So many layers at the start have none."""


@dataclass(frozen=True, slots=True)
class Latent:
    """Sizes of attention through a latent vector, as DeepSeek has it."""

    n_q: int
    """0: queries are made directly."""
    n_kv: int
    n_rope: int
    n_plain: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """What the tensors follow from."""

    arch: str
    n_layer: int
    n_embd: int
    n_ff: int
    n_head: int
    n_head_kv: int
    head_dim: int
    n_vocab: int = 32000
    is_tied: bool = False
    experts: Experts | None = None
    latent: Latent | None = None


PUBLISHED = {
    "llama-3.1-8b": ModelShape(
        arch="llama", n_layer=32, n_embd=4096, n_ff=14336, n_head=32, n_head_kv=8, head_dim=128,
        n_vocab=128256,
    ),
    "llama-3.1-70b": ModelShape(
        arch="llama", n_layer=80, n_embd=8192, n_ff=28672, n_head=64, n_head_kv=8, head_dim=128,
        n_vocab=128256,
    ),
    "llama-65b": ModelShape(
        arch="llama", n_layer=80, n_embd=8192, n_ff=22016, n_head=64, n_head_kv=64, head_dim=128,
    ),
    "smollm2-135m": ModelShape(
        arch="llama", n_layer=30, n_embd=576, n_ff=1536, n_head=9, n_head_kv=3, head_dim=64,
        n_vocab=49152, is_tied=True,
    ),
    "mixtral-8x7b": ModelShape(
        arch="llama", n_layer=32, n_embd=4096, n_ff=14336, n_head=32, n_head_kv=8, head_dim=128,
        experts=Experts(8, 14336),
    ),
    "qwen2-0.5b": ModelShape(
        arch="qwen2", n_layer=24, n_embd=896, n_ff=4864, n_head=14, n_head_kv=2, head_dim=64,
        n_vocab=151936, is_tied=True,
    ),
    "qwen2-72b": ModelShape(
        arch="qwen2", n_layer=80, n_embd=8192, n_ff=29568, n_head=64, n_head_kv=8, head_dim=128,
        n_vocab=152064,
    ),
    "qwen1.5-moe-a2.7b": ModelShape(
        arch="qwen2moe", n_layer=24, n_embd=2048, n_ff=5632, n_head=16, n_head_kv=16, head_dim=128,
        n_vocab=151936, experts=Experts(60, 1408, 5632),
    ),
    "qwen3-0.6b": ModelShape(
        arch="qwen3", n_layer=28, n_embd=1024, n_ff=3072, n_head=16, n_head_kv=8, head_dim=128,
        n_vocab=151936,
    ),
    "qwen3-14b": ModelShape(
        arch="qwen3", n_layer=40, n_embd=5120, n_ff=17408, n_head=40, n_head_kv=8, head_dim=128,
        n_vocab=151936,
    ),
    "qwen3-30b-a3b": ModelShape(
        arch="qwen3moe", n_layer=48, n_embd=2048, n_ff=6144, n_head=32, n_head_kv=4, head_dim=128,
        n_vocab=151936, experts=Experts(128, 768),
    ),
    "qwen3-235b-a22b": ModelShape(
        arch="qwen3moe", n_layer=94, n_embd=4096, n_ff=12288, n_head=64, n_head_kv=4, head_dim=128,
        n_vocab=151936, experts=Experts(128, 1536),
    ),
    "deepseek-v2-lite": ModelShape(
        arch="deepseek2", n_layer=27, n_embd=2048, n_ff=10944, n_head=16, n_head_kv=1,
        head_dim=192, n_vocab=102400, experts=Experts(64, 1408, 2816, 1),
        latent=Latent(0, 512, 64, 128),
    ),
    "deepseek-v3": ModelShape(
        arch="deepseek2", n_layer=61, n_embd=7168, n_ff=18432, n_head=128, n_head_kv=1,
        head_dim=192, n_vocab=129280, experts=Experts(256, 2048, 2048, 3),
        latent=Latent(1536, 512, 64, 128),
    ),
    "gpt-oss-20b": ModelShape(
        arch="gpt-oss", n_layer=24, n_embd=2880, n_ff=2880, n_head=64, n_head_kv=8, head_dim=64,
        n_vocab=201088, experts=Experts(32, 2880),
    ),
    "gpt-oss-120b": ModelShape(
        arch="gpt-oss", n_layer=36, n_embd=2880, n_ff=2880, n_head=64, n_head_kv=8, head_dim=64,
        n_vocab=201088, experts=Experts(128, 2880),
    ),
    "gemma-2-27b": ModelShape(
        arch="gemma2", n_layer=46, n_embd=4608, n_ff=36864, n_head=32, n_head_kv=16, head_dim=128,
        n_vocab=256000, is_tied=True,
    ),
    "gemma-3-4b": ModelShape(
        arch="gemma3", n_layer=34, n_embd=2560, n_ff=10240, n_head=8, n_head_kv=4, head_dim=256,
        n_vocab=262144, is_tied=True,
    ),
    "gemma-3-270m": ModelShape(
        arch="gemma3", n_layer=18, n_embd=640, n_ff=2048, n_head=4, n_head_kv=1, head_dim=256,
        n_vocab=262144, is_tied=True,
    ),
    "phi-3-mini": ModelShape(
        arch="phi3", n_layer=32, n_embd=3072, n_ff=8192, n_head=32, n_head_kv=32, head_dim=96,
        n_vocab=32064,
    ),
    "granite-3.1-8b": ModelShape(
        arch="granite", n_layer=40, n_embd=4096, n_ff=12800, n_head=32, n_head_kv=8, head_dim=128,
        n_vocab=49155, is_tied=True,
    ),
    "olmo-2-13b": ModelShape(
        arch="olmo2", n_layer=40, n_embd=5120, n_ff=13824, n_head=40, n_head_kv=40, head_dim=128,
        n_vocab=100352,
    ),
    "smollm3-3b": ModelShape(
        arch="smollm3", n_layer=36, n_embd=2048, n_ff=11008, n_head=16, n_head_kv=4, head_dim=128,
        n_vocab=128256, is_tied=True,
    ),
    "falcon-40b": ModelShape(
        arch="falcon", n_layer=60, n_embd=8192, n_ff=32768, n_head=128, n_head_kv=8, head_dim=64,
        n_vocab=65024,
    ),
    "jais-2-70b": ModelShape(
        arch="jais2", n_layer=68, n_embd=7168, n_ff=28672, n_head=56, n_head_kv=8, head_dim=128,
        n_vocab=150272,
    ),
    "narrow": ModelShape(
        arch="qwen2", n_layer=5, n_embd=96, n_ff=208, n_head=4, n_head_kv=2, head_dim=24,
        n_vocab=1024,
    ),
}  # fmt: skip
"""By name; the last one is nobody's: no block length divides its rows."""


def tensor_dims(shape: ModelShape) -> dict[str, Dims]:
    """Every tensor with its sizes, in ggml's order: the length of a row first."""
    tensors: dict[str, Dims] = {
        "token_embd.weight": (shape.n_embd, shape.n_vocab),
        "output_norm.weight": (shape.n_embd,),
    }
    if not shape.is_tied:
        tensors["output.weight"] = (shape.n_embd, shape.n_vocab)
    for bid in range(shape.n_layer):
        attention = _latent(shape, shape.latent) if shape.latent else _attention(shape)
        parts = [("attn_norm", (shape.n_embd,)), *attention]
        if shape.experts and bid >= shape.experts.n_dense:
            parts += _expert_parts(shape, shape.experts)
        else:
            parts += _feed_forward(shape)
        for part, dims in parts:
            tensors[f"blk.{bid}.{part}{'' if part.endswith('bias') else '.weight'}"] = dims
    return tensors


def write_shape(path: Path, shape: ModelShape) -> Path:
    """A GGUF whose matrices are of a type that no choice keeps, one byte per weight."""
    tensors = {
        name: (dims, F32 if len(dims) == 1 else I8) for name, dims in tensor_dims(shape).items()
    }
    return write_model(path, _key_values(shape), tensors)


def _attention(shape: ModelShape) -> Iterator[tuple[str, Dims]]:
    q_width, kv_width = shape.n_head * shape.head_dim, shape.n_head_kv * shape.head_dim
    if shape.arch in {"phi3", "falcon"}:
        yield "attn_qkv", (shape.n_embd, q_width + 2 * kv_width)
    else:
        yield "attn_q", (shape.n_embd, q_width)
        yield "attn_k", (shape.n_embd, kv_width)
        yield "attn_v", (shape.n_embd, kv_width)
        yield "attn_q_norm", (shape.head_dim,)
    if shape.arch == "gpt-oss":
        yield "attn_sinks", (shape.n_head,)
    if shape.arch == "qwen2":
        yield "attn_v.bias", (kv_width,)
    yield "attn_output", (q_width, shape.n_embd)


def _latent(shape: ModelShape, latent: Latent) -> Iterator[tuple[str, Dims]]:
    q_width = shape.n_head * shape.head_dim
    if latent.n_q:
        yield "attn_q_a", (shape.n_embd, latent.n_q)
        yield "attn_q_a_norm", (latent.n_q,)
        yield "attn_q_b", (latent.n_q, q_width)
    else:
        yield "attn_q", (shape.n_embd, q_width)
    yield "attn_kv_a_mqa", (shape.n_embd, latent.n_kv + latent.n_rope)
    yield "attn_kv_a_norm", (latent.n_kv,)
    yield "attn_k_b", (latent.n_plain, latent.n_kv, shape.n_head)
    yield "attn_v_b", (latent.n_kv, latent.n_plain, shape.n_head)
    yield "attn_output", (shape.n_head * latent.n_plain, shape.n_embd)


def _feed_forward(shape: ModelShape) -> Iterator[tuple[str, Dims]]:
    if shape.arch == "phi3":
        yield "ffn_up", (shape.n_embd, 2 * shape.n_ff)
    else:
        yield "ffn_gate", (shape.n_embd, shape.n_ff)
        yield "ffn_up", (shape.n_embd, shape.n_ff)
    yield "ffn_down", (shape.n_ff, shape.n_embd)


def _expert_parts(shape: ModelShape, experts: Experts) -> Iterator[tuple[str, Dims]]:
    yield "ffn_gate_inp", (shape.n_embd, experts.n_expert)
    yield "ffn_gate_exps", (shape.n_embd, experts.n_ff, experts.n_expert)
    yield "ffn_up_exps", (shape.n_embd, experts.n_ff, experts.n_expert)
    yield "ffn_down_exps", (experts.n_ff, shape.n_embd, experts.n_expert)
    if shape.arch == "gpt-oss":
        yield "ffn_down_exps.bias", (shape.n_embd, experts.n_expert)
    if experts.n_ff_shared:
        yield "ffn_gate_inp_shexp", (shape.n_embd, 1)
        yield "ffn_gate_shexp", (shape.n_embd, experts.n_ff_shared)
        yield "ffn_up_shexp", (shape.n_embd, experts.n_ff_shared)
        yield "ffn_down_shexp", (experts.n_ff_shared, shape.n_embd)


def _key_values(shape: ModelShape) -> dict[str, Value]:
    arch = shape.arch
    values: dict[str, Value] = {
        "general.architecture": arch,
        f"{arch}.block_count": shape.n_layer,
        f"{arch}.context_length": 4096,
        f"{arch}.embedding_length": shape.n_embd,
        f"{arch}.feed_forward_length": shape.n_ff,
        f"{arch}.attention.head_count": shape.n_head,
        f"{arch}.attention.head_count_kv": shape.n_head_kv,
        f"{arch}.attention.key_length": shape.head_dim,
        f"{arch}.attention.value_length": shape.head_dim,
        f"{arch}.attention.sliding_window": 128,
        f"{arch}.attention.layer_norm_rms_epsilon": 1e-6,
        f"{arch}.attention.layer_norm_epsilon": 1e-6,
        f"{arch}.logit_scale": 1.0,
        f"{arch}.vocab_size": shape.n_vocab,
    }
    if shape.experts:
        values |= {
            f"{arch}.expert_count": shape.experts.n_expert,
            f"{arch}.expert_used_count": 2,
            f"{arch}.expert_shared_count": 1,
            f"{arch}.expert_feed_forward_length": shape.experts.n_ff,
            f"{arch}.leading_dense_block_count": shape.experts.n_dense,
        }
    if shape.latent:
        values |= {
            f"{arch}.attention.q_lora_rank": shape.latent.n_q or 1536,
            f"{arch}.attention.kv_lora_rank": shape.latent.n_kv,
        }
    return values
