"""Completes families/*.json: what transformers and llama.cpp make of the config in each.

Needs torch, transformers (5.23 at the time) and llama.cpp's source (here: as vendored in
llama-cpp-python 0.3.36). Write a file with `{"config": {...}}`
(and `"tokenizer": "sentencepiece"`, and under `"unused"` the shapes of tensors that transformers
does not make, if wanted), then from the repository's root:

    PYTHONPATH=. python tests/golden/quant/make_families.py LLAMA_CPP NAME...

transformers says which tensors there are and what the logits must be; llama.cpp's converter says
what the GGUF must be. The tokenizer's pre-tokenizer is named, because its hash is in no table.
"""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.support.checkpoint_families import (
    GOLDEN,
    PROMPT,
    read_family,
    seeded_weights,
    without_feed_forward,
    write_family_files,
)
from tests.support.checkpoint_files import describe_gguf, read_safetensors, write_safetensors

_N_LOGITS = 48


def main(llama_cpp: Path, names: list[str]) -> None:
    """Complete the golden files with these names."""
    sys.path[:0] = [str(llama_cpp), str(llama_cpp / "gguf-py")]
    script: Any = importlib.import_module("convert_hf_to_gguf")
    base: Any = importlib.import_module("conversion.base")
    base.TextModel.get_vocab_base_pre = lambda _self, _tokenizer: "qwen2"
    for name in names:
        with tempfile.TemporaryDirectory() as scratch:
            _complete(script, name, Path(scratch))


def _complete(script: Any, name: str, scratch: Path) -> None:
    import torch
    import transformers

    known = read_family(name)
    given = ("tokenizer", "config", "unused")
    golden: dict[str, Any] = {key: known[key] for key in given if key in known}
    directory = scratch / name
    write_family_files(directory, golden)
    config = transformers.AutoConfig.from_pretrained(directory)
    model_class = getattr(transformers, golden["config"]["architectures"][0])
    model_class._from_config(config).save_pretrained(scratch / "saved")
    saved = read_safetensors(scratch / "saved" / "model.safetensors")
    shapes = {tensor: list(array.shape) for tensor, array in saved.items()}
    golden["shapes"] = dict(sorted((shapes | golden.get("unused", {})).items()))
    if "quantization_config" in golden["config"]:
        shapes = _with_mxfp4_experts(shapes)
    golden["shapes"] = dict(sorted(shapes.items()))
    write_safetensors(directory / "model.safetensors", seeded_weights(golden))
    settings: dict[str, Any] = {"dtype": torch.float32, "attn_implementation": "eager"}
    if "truncate" in (golden["config"].get("rope_scaling") or {}):
        config.rope_parameters["truncate"] = True  # as llama.cpp does, whatever the config says
        settings["config"] = config
    if "quantization_config" in golden["config"]:
        settings["quantization_config"] = transformers.Mxfp4Config(dequantize=True)

    def logits() -> Any:
        model = model_class.from_pretrained(directory, **settings).eval()
        with torch.no_grad():
            return model(torch.tensor([PROMPT])).logits[0, -1]

    whole = logits()
    golden["largest_logit"] = float(whole.abs().max())
    golden["logits"] = [float(logit) for logit in whole[:_N_LOGITS]]
    if known["config"]["model_type"].startswith("gemma"):
        # llama.cpp looks GELU up in a table of halves, beside which all else would be lost
        bare = without_feed_forward(seeded_weights(golden))
        write_safetensors(directory / "model.safetensors", bare)
        golden["logits_without_feed_forward"] = [float(logit) for logit in logits()[:_N_LOGITS]]
        write_safetensors(directory / "model.safetensors", seeded_weights(golden))
    golden["sha256"] = {}
    for out_type in ("f32", "q8_0", "bf16"):
        output = scratch / f"{out_type}.gguf"
        sys.argv = ["", str(directory), "--outtype", out_type, "--outfile", str(output)]
        script.main()
        described = describe_gguf(output)
        golden["sha256"][out_type] = described["sha256"]
    golden["bf16"] = {key: described[key] for key in ("metadata", "tensors")}
    text = json.dumps(golden, ensure_ascii=False, indent=0)
    (GOLDEN / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def _with_mxfp4_experts(shapes: dict[str, list[int]]) -> dict[str, list[int]]:
    """The shapes as gpt-oss is published: experts transposed, in blocks of 32 codes of 4 bits."""
    packed = {}
    for name, shape in shapes.items():
        if name.endswith(("experts.down_proj", "experts.gate_up_proj")):
            n_expert, n_cols, n_rows = shape
            packed[f"{name}_blocks"] = [n_expert, n_rows, n_cols // 32, 16]
            packed[f"{name}_scales"] = [n_expert, n_rows, n_cols // 32]
        else:
            packed[name] = shape
    return packed


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
