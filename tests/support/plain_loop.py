"""The shortest greedy loop on llama.cpp, in a process of its own: what the engine is held against.

python -m tests.support.plain_loop MODEL N_CTX N_TOKENS < prompt token ids as JSON
"""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
from pathlib import Path


def greedy_tokens(model: Path, prompt: list[int], n_tokens: int, *, n_ctx: int = 512) -> list[int]:
    """The tokens after the prompt, up to the end-of-generation token."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.plain_loop", str(model), str(n_ctx), str(n_tokens)],
        input=json.dumps(prompt),
        capture_output=True,
        text=True,
        check=True,
    )
    tokens: list[int] = json.loads(done.stdout)
    return tokens


def main() -> None:
    from llama_cpp import llama_cpp as c

    quiet = c.llama_log_callback(lambda _level, _text, _data: None)
    c.llama_log_set(quiet, None)
    path, n_ctx, n_tokens = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    model_params = c.llama_model_default_params()
    model_params.n_gpu_layers = 0
    model = c.llama_model_load_from_file(path.encode(), model_params)
    context_params = c.llama_context_default_params()
    context_params.n_ctx = context_params.n_batch = n_ctx
    context = c.llama_init_from_model(model, context_params)
    vocab = c.llama_model_get_vocab(model)
    sampler = c.llama_sampler_init_greedy()
    tokens = json.load(sys.stdin)
    batch = (c.llama_token * len(tokens))(*tokens)
    assert c.llama_decode(context, c.llama_batch_get_one(batch, len(tokens))) == 0
    said: list[int] = []
    while len(said) < n_tokens:
        token = c.llama_sampler_sample(sampler, context, -1)
        if c.llama_vocab_is_eog(vocab, token):
            break
        said.append(token)
        one = ctypes.pointer(c.llama_token(token))
        assert c.llama_decode(context, c.llama_batch_get_one(one, 1)) == 0
    print(json.dumps(said))  # noqa: T201 - the parent reads it


if __name__ == "__main__":
    main()
