"""A program: logits after the last token of several prompts, from llama.cpp without our engine.

    python -m tests.support.last_logits MODEL IDS.json OUT.npy

Run in a child, because llama.cpp may abort, and because only the engine imports it in the product.
"""

from __future__ import annotations

import ctypes
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np


def main(model_path: str, ids_path: str, out_path: str) -> None:
    """One row of logits per prompt."""
    import llama_cpp.llama_cpp as llama

    llama.llama_backend_init()
    model = llama.llama_model_load_from_file(
        model_path.encode(), llama.llama_model_default_params()
    )
    params = llama.llama_context_default_params()
    params.n_ctx = params.n_batch = params.n_ubatch = 512
    params.n_threads = params.n_threads_batch = 2
    context = llama.llama_init_from_model(model, params)
    n_vocab = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(model))
    rows = [
        _logits(llama, context, ids, n_vocab)
        for ids in json.loads(Path(ids_path).read_text(encoding="utf-8"))
    ]
    np.save(out_path, np.stack(rows))


def _logits(llama: Any, context: Any, ids: list[int], n_vocab: int) -> np.ndarray[Any, Any]:
    llama.llama_memory_clear(llama.llama_get_memory(context), True)
    tokens = (ctypes.c_int32 * len(ids))(*ids)
    if llama.llama_decode(context, llama.llama_batch_get_one(tokens, len(ids))) != 0:
        raise SystemExit("llama_decode failed")
    return np.ctypeslib.as_array(llama.llama_get_logits_ith(context, -1), (n_vocab,)).copy()


if __name__ == "__main__":
    main(*sys.argv[1:])
