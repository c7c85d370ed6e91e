"""Owns models to measure with: all zeros, in files full of holes.

A token has to read every weight, zero or not, so its time is that of any model with as many bytes
of that type. A wide model of two layers shows the reading, deep ones of few bytes what each layer
costs beside it. A file takes a few kB on the disk; its pages take memory once they are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from quant.gguf.key_values import KeyValues
from quant.gguf.types import TensorType
from quant.gguf.writer import TensorEntry, encode_header, file_bytes

WORD = "a"
"""A text of one token."""

_HEAD_DIM = 64
_N_VOCAB = 512
_N_FF_STEP = 1024


@dataclass(frozen=True, slots=True)
class ProbeShape:
    """A small Llama."""

    n_layer: int
    n_embd: int
    n_ff: int


DEEP = (ProbeShape(32, 256, 256), ProbeShape(24, 512, 1536))
"""Layers as narrow as models have them, and as wide as those of half a billion weights."""


def wide(tensor_type: TensorType, weight_bytes: int) -> ProbeShape:
    """Two layers with about that many bytes of weights."""
    n_layer, n_embd = 2, 3072
    bytes_per_ff = 3 * n_layer * tensor_type.n_bytes(n_embd)
    n_ff = max(weight_bytes // bytes_per_ff // _N_FF_STEP, 1) * _N_FF_STEP
    return ProbeShape(n_layer, n_embd, n_ff)


def write_probe(path: Path, tensor_type: TensorType, shape: ProbeShape) -> int:
    """Write a loadable GGUF; returns the bytes that each token reads. Raises: OSError."""
    # the embedding is the output as well
    matrices = [TensorEntry("token_embd.weight", (_N_VOCAB, shape.n_embd), tensor_type)]
    norms = [TensorEntry("output_norm.weight", (shape.n_embd,), TensorType.F32)]
    for i_layer in range(shape.n_layer):
        matrices += [
            TensorEntry(f"blk.{i_layer}.{name}.weight", dims, tensor_type)
            for name, dims in _matrices(shape).items()
        ]
        norms += [
            TensorEntry(f"blk.{i_layer}.{name}.weight", (shape.n_embd,), TensorType.F32)
            for name in ("attn_norm", "ffn_norm")
        ]
    tensors = [*matrices, *norms]
    header = encode_header(_key_values(shape), tensors)
    with path.open("wb") as file:
        file.write(header)
        file.truncate(file_bytes(header, tensors))
    return sum(entry.n_bytes for entry in matrices)


def _matrices(shape: ProbeShape) -> dict[str, tuple[int, int]]:
    n_embd, n_ff = shape.n_embd, shape.n_ff
    attention = {f"attn_{name}": (n_embd, n_embd) for name in ("q", "k", "v", "output")}
    return attention | {
        "ffn_gate": (n_ff, n_embd),
        "ffn_up": (n_ff, n_embd),
        "ffn_down": (n_embd, n_ff),
    }


def _key_values(shape: ProbeShape) -> KeyValues:
    values = KeyValues()
    values.string("general.architecture", "llama")
    values.string("general.name", "localr1 probe")
    for name, number in {
        "block_count": shape.n_layer,
        "context_length": 2048,
        "embedding_length": shape.n_embd,
        "feed_forward_length": shape.n_ff,
        "attention.head_count": shape.n_embd // _HEAD_DIM,
        "vocab_size": _N_VOCAB,
    }.items():
        values.uint(f"llama.{name}", number)
    values.real("llama.attention.layer_norm_rms_epsilon", 1e-5)
    values.string("tokenizer.ggml.model", "gpt2")
    values.string("tokenizer.ggml.pre", "gpt-2")
    values.strings("tokenizer.ggml.tokens", [WORD, *(f"w{i}" for i in range(1, _N_VOCAB))])
    values.sints("tokenizer.ggml.token_type", [1] * _N_VOCAB)
    values.strings("tokenizer.ggml.merges", ["w 1"])
    values.uint("tokenizer.ggml.bos_token_id", 1)
    values.uint("tokenizer.ggml.eos_token_id", 2)
    return values
