"""Owns models to measure with: small ones of random weights, each for one thing that costs time.

Their time is that of any model with as many bytes, rows, operations and heads. The weights are
random because zeros are read about a fifth faster; norms are next to nothing, so that no number
grows out of its type. Every byte is less than 64: no pair or four of such bytes is infinite in any
floating-point format, so each block of each type has a usable scale.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, replace
from pathlib import Path

from localr1.units import MIB
from quant.gguf.key_values import KeyValues
from quant.gguf.types import TensorType
from quant.gguf.writer import TensorEntry, encode_header, padding

WORD = "a"
"""A text of one token."""

_NORM = struct.pack("<f", 1e-6)
_TILE_BYTES = MIB
_FINITE = bytes(byte & 0x3F for byte in range(256))
_N_FF_STEP = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeShape:
    """A small Llama."""

    n_layer: int
    n_embd: int
    n_ff: int
    n_head: int = 4
    n_head_kv: int = 2
    head_dim: int = 64
    n_vocab: int = 512


SHALLOW = ProbeShape(n_layer=1, n_embd=256, n_ff=256)
"""What a token costs beside its layers."""
DEEP = (
    ProbeShape(n_layer=32, n_embd=256, n_ff=256),
    ProbeShape(n_layer=24, n_embd=512, n_ff=1536, n_head=8),
)
"""Layers as narrow as models have them, and as wide as those of half a billion weights."""
TALKATIVE = ProbeShape(n_layer=1, n_embd=256, n_ff=256, n_vocab=32_768)
"""What it takes to choose from many tokens."""
LOOKING = (
    ProbeShape(n_layer=4, n_embd=256, n_ff=256, n_head=8),
    ProbeShape(n_layer=4, n_embd=256, n_ff=256, n_head=16, n_head_kv=4),
    ProbeShape(n_layer=4, n_embd=256, n_ff=256, n_head=8, head_dim=256),
)
"""What attention costs, with small heads, with more of them, and with large ones."""


def wide(tensor_type: TensorType, weight_bytes: int) -> ProbeShape:
    """Three layers of long rows with about that many bytes of weights."""
    shape = ProbeShape(n_layer=3, n_embd=3072, n_ff=0, n_head=48, n_head_kv=8)
    return _widened(shape, tensor_type, weight_bytes)


def narrow(tensor_type: TensorType, weight_bytes: int) -> ProbeShape:
    """The same of short rows."""
    shape = ProbeShape(n_layer=3, n_embd=512, n_ff=0, n_head=8)
    return _widened(shape, tensor_type, weight_bytes)


def write_probe(path: Path, tensor_type: TensorType, shape: ProbeShape) -> None:
    """Write a loadable GGUF. Raises: OSError."""
    # the embedding is the output as well
    tensors = [
        TensorEntry("token_embd.weight", (shape.n_vocab, shape.n_embd), tensor_type),
        TensorEntry("output_norm.weight", (shape.n_embd,), TensorType.F32),
    ]
    for i_layer in range(shape.n_layer):
        tensors += [
            TensorEntry(f"blk.{i_layer}.{name}.weight", dims, tensor_type)
            for name, dims in _matrices(shape).items()
        ]
        tensors += [
            TensorEntry(f"blk.{i_layer}.{name}.weight", (shape.n_embd,), TensorType.F32)
            for name in ("attn_norm", "ffn_norm")
        ]
    tile = os.urandom(_TILE_BYTES).translate(_FINITE)
    with path.open("wb") as file:
        file.write(encode_header(_key_values(shape), tensors))
        for tensor in tensors:
            content = _NORM * shape.n_embd if len(tensor.shape) == 1 else tile
            n_whole, n_rest = divmod(tensor.n_bytes, len(content))
            for _ in range(n_whole):
                file.write(content)
            file.write(content[:n_rest] + bytes(padding(tensor.n_bytes)))


def _widened(shape: ProbeShape, tensor_type: TensorType, weight_bytes: int) -> ProbeShape:
    bytes_per_ff = 3 * shape.n_layer * tensor_type.n_bytes(shape.n_embd)
    n_steps = weight_bytes // bytes_per_ff // _N_FF_STEP
    return replace(shape, n_ff=max(n_steps, 1) * _N_FF_STEP)


def _matrices(shape: ProbeShape) -> dict[str, tuple[int, int]]:
    n_embd, n_ff, width = shape.n_embd, shape.n_ff, shape.n_head * shape.head_dim
    kv_width = shape.n_head_kv * shape.head_dim
    return {
        "attn_q": (width, n_embd),
        "attn_k": (kv_width, n_embd),
        "attn_v": (kv_width, n_embd),
        "attn_output": (n_embd, width),
        "ffn_gate": (n_ff, n_embd),
        "ffn_up": (n_ff, n_embd),
        "ffn_down": (n_embd, n_ff),
    }


def _key_values(shape: ProbeShape) -> KeyValues:
    n_vocab = shape.n_vocab
    values = KeyValues()
    values.string("general.architecture", "llama")
    values.string("general.name", "localr1 probe")
    for name, number in {
        "block_count": shape.n_layer,
        "context_length": 2048,
        "embedding_length": shape.n_embd,
        "feed_forward_length": shape.n_ff,
        "attention.head_count": shape.n_head,
        "attention.head_count_kv": shape.n_head_kv,
        "attention.key_length": shape.head_dim,
        "attention.value_length": shape.head_dim,
        "vocab_size": n_vocab,
    }.items():
        values.uint(f"llama.{name}", number)
    values.real("llama.attention.layer_norm_rms_epsilon", 1e-5)
    values.string("tokenizer.ggml.model", "gpt2")
    values.string("tokenizer.ggml.pre", "gpt-2")
    values.strings("tokenizer.ggml.tokens", [WORD, *(f"w{i}" for i in range(1, n_vocab))])
    values.sints("tokenizer.ggml.token_type", [1] * n_vocab)
    values.strings("tokenizer.ggml.merges", ["w 1"])
    values.uint("tokenizer.ggml.bos_token_id", 1)
    # equal logits are drawn from the first tokens: the last one never ends an answer
    values.uint("tokenizer.ggml.eos_token_id", n_vocab - 1)
    return values
