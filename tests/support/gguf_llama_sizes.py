"""Asks llama.cpp what it would allocate, without loading a weight. Run as a module, in a child.

stdin: {"model": path, "allocates": bool, "requests": [{"n_ctx", ...}]}; stdout: a list with one
object per request, from purpose to bytes, as llama.cpp's log prints them (MiB with two decimals).
"""

from __future__ import annotations

import json
import re
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from tests.support.llama_child import ask, logged

_TYPE_IDS = {"f32": 0, "f16": 1, "q4_0": 2, "q8_0": 8}
_SIZE = re.compile(r"(model|KV|compute|output) buffer size = +([\d.]+) MiB")
_REMEMBERED = re.compile(r"llama_(kv_cache|memory_recurrent): size = +([\d.]+) MiB \( *\d+ cells")


def llama_sizes(
    model: Path, requests: list[dict[str, Any]], *, allocates: bool = False, timeout_s: float = 50
) -> list[dict[str, float]]:
    """MiB per purpose for each request, measured in a child process."""
    question = {"model": str(model), "allocates": allocates, "requests": requests}
    answer: list[dict[str, float]] = ask(
        "tests.support.gguf_llama_sizes", question, timeout_s=timeout_s
    )
    return answer


def _main() -> None:
    import llama_cpp.llama_cpp as c

    log, _callback = logged(c)
    question = json.load(sys.stdin)
    c.llama_backend_init()
    wanted = c.llama_model_default_params()
    wanted.n_gpu_layers = 0
    wanted.no_alloc = not question["allocates"]
    wanted.load_mode = c.LLAMA_LOAD_MODE_MMAP if question["allocates"] else c.LLAMA_LOAD_MODE_NONE
    model = c.llama_model_load_from_file(question["model"].encode(), wanted)
    if not model:
        sys.exit("".join(log)[-500:])
    weights_mib = _sum(log)["model"]
    answers = []
    for request in question["requests"]:
        log.clear()
        context = c.llama_init_from_model(model, _context_params(c, request))
        sizes = _sum(log)
        # without allocation the buffer of the cache is empty, its planned size is still printed
        found = _REMEMBERED.findall("".join(log))
        sizes["KV"] = sum(float(mib) for kind, mib in found if kind == "kv_cache")
        sizes["state"] = sum(float(mib) for kind, mib in found if kind == "memory_recurrent")
        answers.append({**sizes, "model": weights_mib})
        c.llama_free(context)
    json.dump(answers, sys.stdout)


def _context_params(c: Any, request: dict[str, Any]) -> Any:
    params = c.llama_context_default_params()
    params.n_ctx = request["n_ctx"]
    params.n_batch = 2048
    params.n_ubatch = request["n_ubatch"]
    params.n_outputs_max = request.get("n_outputs", 0)
    params.n_seq_max = request.get("n_seq_max", 1)
    params.flash_attn_type = {"auto": -1, "off": 0, "on": 1}[request["flash_attn"]]
    params.type_k = _TYPE_IDS[request["type_k"]]
    params.type_v = _TYPE_IDS[request["type_v"]]
    params.kv_unified = request.get("kv_unified", False)
    params.swa_full = request.get("swa_full", False)
    return params


def _sum(log: list[str]) -> defaultdict[str, float]:
    sizes: defaultdict[str, float] = defaultdict(float)
    for purpose, mib in _SIZE.findall("".join(log)):
        sizes[purpose] += float(mib)
    return sizes


if __name__ == "__main__":
    _main()
