"""Owns calls into llama.cpp for conversion tests: in a child process, which alone may load it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

_QUANTISE = """
import ctypes, json, sys
import llama_cpp
source, targets, overrides = json.load(sys.stdin)
params = llama_cpp.llama_model_quantize_default_params()
params.nthread = 2
params.allow_requantize = True
pairs = [(name.encode(), number) for name, number in overrides.items()]
params.tt_overrides = (llama_cpp.llama_model_tensor_override * (len(pairs) + 1))(*pairs)
for file_type, target in targets:
    params.ftype = file_type
    if llama_cpp.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(params)):
        sys.exit(1)
"""

_TOKENISE = """
import json, sys
import llama_cpp
params = llama_cpp.llama_model_default_params()
params.vocab_only = True
model = llama_cpp.llama_model_load_from_file(sys.argv[1].encode(), params)
vocab = llama_cpp.llama_model_get_vocab(model)
results = []
for text in json.load(sys.stdin):
    encoded = text.encode()
    ids = (llama_cpp.llama_token * (len(encoded) + 8))()
    n = llama_cpp.llama_tokenize(vocab, encoded, len(encoded), ids, len(ids), True, True)
    results.append(list(ids[:n]))
print(json.dumps(results))
"""

_LOGITS = """
import ctypes, json, sys
import llama_cpp
ids = json.load(sys.stdin)
model = llama_cpp.llama_model_load_from_file(
    sys.argv[1].encode(), llama_cpp.llama_model_default_params()
)
params = llama_cpp.llama_context_default_params()
params.n_ctx = params.n_batch = params.n_ubatch = 256
params.n_threads = params.n_threads_batch = 2
params.type_k = params.type_v = llama_cpp.GGML_TYPE_F32
params.flash_attn_type = 0
context = llama_cpp.llama_init_from_model(model, params)
tokens = (ctypes.c_int32 * len(ids))(*ids)  # a name, because the batch only points to them
assert llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(tokens, len(ids))) == 0
n_vocab = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
print(json.dumps(llama_cpp.llama_get_logits_ith(context, -1)[:n_vocab]))
"""


def llama_quantise(
    source: Path, target: Path, file_type: int, overrides: Mapping[str, int] | None = None
) -> None:
    """llama.cpp's own quantiser, GGUF to GGUF; `overrides` are numbers of types by pattern."""
    llama_quantise_all(source, {file_type: target}, overrides)


def llama_quantise_all(
    source: Path, targets: Mapping[int, Path], overrides: Mapping[str, int] | None = None
) -> None:
    """The same for several file types, in one child."""
    paths = [(int(file_type), str(target)) for file_type, target in targets.items()]
    _run(_QUANTISE, stdin=json.dumps([str(source), paths, dict(overrides or {})]))


def llama_tokenise(gguf: Path, texts: list[str]) -> list[list[int]]:
    """Token ids of each text, special tokens parsed and added, by llama.cpp's tokenizer."""
    output: list[list[int]] = json.loads(_run(_TOKENISE, str(gguf), stdin=json.dumps(texts)))
    return output


def llama_logits(gguf: Path, ids: list[int]) -> list[float]:
    """Logits after the last token, computed with a cache in F32."""
    logits: list[float] = json.loads(_run(_LOGITS, str(gguf), stdin=json.dumps(ids)))
    return logits


def _run(script: str, *arguments: str, stdin: str = "") -> str:
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        env=os.environ | {"GGML_NO_BACKTRACE": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
