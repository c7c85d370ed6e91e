"""Owns the small checkpoints that conversion tests are run on, made anew for each test.

Each stands for something: `llama3` for stretched rotary frequencies, tied embeddings, reordered
rows, two shards, a model card and a vocabulary padded above its tokens; `qwen2_tied` for float32
and enough layers for every rule of the mix; `odd_rows` for rows no block size divides; `fp8` for
codes of 8 bits with a scale per block of 128 x 128, which the matrices are no multiples of.
The tokenizer is the embedded model's, with another pre-tokenizer where the family wants one.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from tests.support.checkpoint_files import (
    StoredArray,
    read_safetensors,
    seeded_array,
    seeded_codes,
    write_safetensors,
)

R1_NANO = Path(__file__).parents[2] / "localr1" / "demo" / "r1-nano"

LLAMA3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

_MODEL_CARD = """\
---
license: mit
language:
- en
- no
base_model: acme-labs/Tiny-Llama-3-8B-v1.2
datasets:
- acme-labs/tiny-talk
tags:
- reasoning
pipeline_tag: text-generation
---
# A model card
"""

_LLAMA3_CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "bos_token_id": 1017,
    "eos_token_id": [1018, 1019],
    "hidden_size": 256,
    "intermediate_size": 512,
    "max_position_embeddings": 4096,
    "num_attention_heads": 4,
    "num_hidden_layers": 3,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-05,
    "rope_theta": 500000.0,
    "rope_scaling": {
        "factor": 32.0,
        "high_freq_factor": 4.0,
        "low_freq_factor": 1.0,
        "original_max_position_embeddings": 512,
        "rope_type": "llama3",
    },
    "tie_word_embeddings": True,
    "vocab_size": 1030,
}

_QWEN2_CONFIG: dict[str, Any] = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "bos_token_id": 1017,
    "eos_token_id": 1018,
    "max_position_embeddings": 2048,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-06,
    "rope_theta": 10000,
    "vocab_size": 1024,
}

_QWEN2_TIED_CONFIG = _QWEN2_CONFIG | {
    "hidden_size": 256,
    "intermediate_size": 256,
    "num_hidden_layers": 9,
    "tie_word_embeddings": True,
}

_ODD_ROWS_CONFIG = _QWEN2_CONFIG | {
    "hidden_size": 96,
    "intermediate_size": 208,
    "num_hidden_layers": 4,
    "tie_word_embeddings": False,
    "rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 2048},
}


_FP8_CONFIG = _QWEN2_CONFIG | {
    "hidden_size": 192,
    "intermediate_size": 320,
    "num_hidden_layers": 2,
    "tie_word_embeddings": False,
    "quantization_config": {
        "activation_scheme": "dynamic",
        "fmt": "e4m3",
        "quant_method": "fp8",
        "weight_block_size": [128, 128],
    },
}


def write_checkpoint(kind: str, parent: Path) -> Path:
    """The checkpoint named `kind` in a directory of its own under `parent`."""
    writers = {
        "r1_nano": _write_r1_nano,
        "r1_nano_sharded": _write_r1_nano_sharded,
        "llama3": _write_llama3,
        "qwen2_tied": _write_qwen2_tied,
        "odd_rows": _write_odd_rows,
        "fp8": _write_fp8,
    }
    return writers[kind](parent)


def _write_r1_nano(parent: Path) -> Path:
    # copied, because metadata depend on the directory's name and tests damage their copy
    directory = parent / "r1-nano"
    shutil.copytree(R1_NANO, directory)
    return directory


def _write_r1_nano_sharded(parent: Path) -> Path:
    directory = _write_r1_nano(parent)
    arrays = read_safetensors(directory / "model.safetensors")
    (directory / "model.safetensors").unlink()
    write_sharded(directory, arrays)
    return directory


def _write_llama3(parent: Path) -> Path:
    directory = parent / "Tiny-Llama-3-8B-Instruct-v1.2-1M"
    config = _LLAMA3_CONFIG
    _write_files(directory, config, pattern=LLAMA3_PATTERN, ignores_merges=True)
    tokenizer_config = json.loads((directory / "tokenizer_config.json").read_text())
    template = tokenizer_config.pop("chat_template")
    write_json(directory / "tokenizer_config.json", tokenizer_config)
    (directory / "chat_template.jinja").write_text(template)
    (directory / "README.md").write_text(_MODEL_CARD)
    write_sharded(directory, seeded_weights(config, "BF16"))
    return directory


def _write_qwen2_tied(parent: Path) -> Path:
    directory = parent / "qwen2-0.5b-chat"
    _write_files(directory, _QWEN2_TIED_CONFIG)
    write_safetensors(directory / "model.safetensors", seeded_weights(_QWEN2_TIED_CONFIG, "F32"))
    return directory


def _write_odd_rows(parent: Path) -> Path:
    directory = parent / "odd rows"
    _write_files(directory, _ODD_ROWS_CONFIG)
    (directory / "generation_config.json").unlink()
    write_safetensors(directory / "model.safetensors", seeded_weights(_ODD_ROWS_CONFIG, "F16"))
    return directory


def _write_fp8(parent: Path) -> Path:
    directory = parent / "fp8"
    _write_files(directory, _FP8_CONFIG)
    arrays = seeded_weights(_FP8_CONFIG, "BF16")
    for seed, name in enumerate(list(arrays)):
        if name.endswith("proj.weight"):
            n_rows, n_cols = arrays[name].shape
            arrays[name] = seeded_codes(seed, (n_rows, n_cols))
            n_blocks = (-(-n_rows // 128), -(-n_cols // 128))
            arrays[f"{name}_scale_inv"] = seeded_array(1000 + seed, "F32", n_blocks)
    write_sharded(directory, arrays)
    return directory


def write_sharded(directory: Path, arrays: dict[str, StoredArray]) -> None:
    """Two shards and their index; neighbours in name end up in different shards."""
    weight_map: dict[str, str] = {}
    for number in (1, 2):
        shard = f"model-{number:05d}-of-00002.safetensors"
        part = dict(list(arrays.items())[number - 1 :: 2])
        write_safetensors(directory / shard, part)
        weight_map |= dict.fromkeys(part, shard)
    write_json(directory / "model.safetensors.index.json", {"weight_map": weight_map})


def seeded_weights(config: dict[str, Any], dtype: str) -> dict[str, StoredArray]:
    """Every tensor that transformers would save for the config."""
    n_embd, n_ff, n_vocab = (
        config["hidden_size"], config["intermediate_size"], config["vocab_size"],
    )  # fmt: skip
    n_kv = n_embd // config["num_attention_heads"] * config["num_key_value_heads"]
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (n_vocab, n_embd),
        "model.norm.weight": (n_embd,),
    }
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (n_vocab, n_embd)
    has_biases = config["model_type"] == "qwen2"
    for bid in range(config["num_hidden_layers"]):
        layer = f"model.layers.{bid}."
        shapes |= {
            layer + "input_layernorm.weight": (n_embd,),
            layer + "post_attention_layernorm.weight": (n_embd,),
            layer + "mlp.gate_proj.weight": (n_ff, n_embd),
            layer + "mlp.up_proj.weight": (n_ff, n_embd),
            layer + "mlp.down_proj.weight": (n_embd, n_ff),
            layer + "self_attn.o_proj.weight": (n_embd, n_embd),
        }
        for part, size in (("q", n_embd), ("k", n_kv), ("v", n_kv)):
            shapes[f"{layer}self_attn.{part}_proj.weight"] = (size, n_embd)
            if has_biases:
                shapes[f"{layer}self_attn.{part}_proj.bias"] = (size,)
    return {
        name: seeded_array(seed, dtype, shape) for seed, (name, shape) in enumerate(shapes.items())
    }


def _write_files(
    directory: Path,
    config: dict[str, Any],
    *,
    pattern: str | None = None,
    ignores_merges: bool = False,
) -> None:
    directory.mkdir(parents=True)
    write_json(directory / "config.json", config)
    for name in ("tokenizer_config.json", "generation_config.json"):
        shutil.copyfile(R1_NANO / name, directory / name)
    tokenizer = json.loads((R1_NANO / "tokenizer.json").read_text(encoding="utf-8"))
    if pattern is not None:
        tokenizer["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = pattern
    tokenizer["model"]["ignore_merges"] = ignores_merges
    write_json(directory / "tokenizer.json", tokenizer)


def write_json(path: Path, document: Any) -> None:
    """Write a document; what is not ASCII is escaped, lone surrogates too."""
    path.write_text(json.dumps(document), encoding="utf-8")


def change_json(path: Path, **changes: Any) -> None:
    """Set top-level keys of a document."""
    write_json(path, json.loads(path.read_text(encoding="utf-8")) | changes)
