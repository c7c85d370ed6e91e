"""Owns calls into llama.cpp for conversion tests: in a child process, which alone may load it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

_QUANTISE = """
import ctypes, sys
import llama_cpp
source, target, file_type = sys.argv[1:]
params = llama_cpp.llama_model_quantize_default_params()
params.ftype = int(file_type)
params.nthread = 2
sys.exit(llama_cpp.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(params)))
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


def llama_quantise(source: Path, target: Path, file_type: int) -> None:
    """llama.cpp's own quantiser, GGUF to GGUF."""
    _run(_QUANTISE, str(source), str(target), str(file_type))


def llama_tokenise(gguf: Path, texts: list[str]) -> list[list[int]]:
    """Token ids of each text, special tokens parsed and added, by llama.cpp's tokenizer."""
    output: list[list[int]] = json.loads(_run(_TOKENISE, str(gguf), stdin=json.dumps(texts)))
    return output


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
