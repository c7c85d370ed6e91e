"""Predicted against measured speed on this machine, in one run.

In each round the machine is measured with small models (what `localr1 plan --calibrate` does), then
every model itself, so that what else the machine does hits both. A model is measured as people see
it, through the engine and with its usual sampling: the answer after a short prompt and after a long
one, and the first batch of the long prompt. Prints a line per number and, last, one JSON line.
"ratio" is the middle of the predicted range by the measured median over all rounds.

    python benchmarks/plan_speed.py MODEL.gguf [MODEL.gguf ...] [--rounds N] [--tokens N]
                                    [--filled N] [--patience SECONDS]

A long prompt has `--filled` tokens, fewer where the model was trained on fewer, or where reading it
would take longer than `--patience`. Four models from 5 million to 7 billion weights take some six
minutes.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from backends.cpu import cpu_parameters
from backends.machine import Machine, host_facts
from localr1.calibration.measure import measure
from localr1.model_facts.card import ModelCard
from localr1.plan.hardware import HOST, Known
from localr1.plan.host_memory import read_host_memory
from localr1.plan.memory_plan import MemoryPlan
from localr1.plan.planner import make_plan
from localr1.plan.rate import Range
from localr1.plan.request import PlanRequest
from localr1.worker.frames import (
    GenerateRequest,
    GenerationEnd,
    Sampling,
    Segment,
    TokenPiece,
)
from localr1.worker.host import Engine
from quant.gguf.header import read_header

_WORD = " number"
_SHORT = "The engineer wrote down every"
_ROOM = 512  # for the answers, and for words that are two tokens
_N_BATCH = 480  # of 512: a number is several tokens
_TRIES = 40  # answers that end at once


@dataclass(slots=True)
class _Subject:
    """One model in two engines, one for each length of prompt, and what was seen of it."""

    path: Path
    card: ModelCard
    empty: Engine
    filled: Engine
    n_filled: int = 0
    predicted: defaultdict[str, list[Range]] = field(default_factory=lambda: defaultdict(list))
    measured: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))


def main() -> None:
    """Measure everything in turns and print."""
    options = _options()
    subjects = []
    for path in options.models:
        card = ModelCard.from_header(read_header(path))
        subjects.append(_Subject(path, card, Engine.start(), Engine.start()))
    calibrating = Engine.start()
    try:
        for _ in range(options.rounds):
            rate = measure(calibrating, _types([subject.card for subject in subjects])).rate()
            for subject in subjects:
                _look(subject, Known(rate=rate), options)
    finally:
        for engine in (calibrating, *(e for s in subjects for e in (s.empty, s.filled))):
            engine.close()
    print(f"{'model':<34} {'tokens/s of':<22} {'predicted':>20} {'measured':>9} {'ratio':>6}")
    results = {subject.path.name: _report(subject) for subject in subjects}
    print(json.dumps({"benchmark": "plan_speed", "models": results}))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--filled", type=int, default=4000)
    parser.add_argument("--patience", type=float, default=60.0)
    return parser.parse_args()


def _look(subject: _Subject, known: Known, options: argparse.Namespace) -> None:
    """One round of one model: what is predicted, and what is seen."""
    n_ctx = min(options.filled + _ROOM, subject.card.n_ctx_train)
    if not subject.n_filled:
        plan = _plan(subject, known, n_ctx)
        assert plan.speed is not None
        assert plan.speed.prefill_tokens_per_s is not None
        affordable = int(plan.speed.prefill_tokens_per_s[0] * options.patience)
        subject.n_filled = min(n_ctx - _ROOM, affordable)
        for engine in (subject.empty, subject.filled):
            request = plan.load_request(str(subject.path))
            for _ in engine.load(cpu_parameters(request, host_facts(Machine()))):
                pass
    full = _plan(subject, known, subject.n_filled).speed
    assert full is not None
    assert full.prefill_tokens_per_s is not None
    long, what = _WORD * subject.n_filled, f"answer, {subject.n_filled} tokens"
    subject.predicted["answer, empty context"].append(full.decode_tokens_per_s)
    subject.predicted[what].append(full.full_decode_tokens_per_s)
    subject.predicted["prompt"].append(full.prefill_tokens_per_s)
    seen = subject.measured
    seen["prompt"].append(_read_per_s(subject.empty, min(subject.n_filled, _N_BATCH)))
    seen["answer, empty context"].append(_answered_per_s(subject.empty, _SHORT, options.tokens))
    seen[what].append(_answered_per_s(subject.filled, long, options.tokens))


def _plan(subject: _Subject, known: Known, n_ctx: int) -> MemoryPlan:
    request = PlanRequest(n_ctx=n_ctx, device="cpu")
    devices = subject.empty.info.devices
    return make_plan(subject.card, request, devices, read_host_memory(), {HOST: known})


def _answered_per_s(engine: Engine, prompt: str, n_tokens: int) -> float:
    """Tokens per second by the median time between two tokens."""
    steps: list[float] = []
    for _ in range(_TRIES):
        frames = list(engine.generate(_request(prompt, n_tokens)))
        at_s = [frame.at_s for frame in frames if isinstance(frame, TokenPiece)]
        steps += [after - before for before, after in pairwise(at_s)]
        if len(steps) >= n_tokens // 2:
            break
    if not steps:
        raise SystemExit("a model says nothing; nothing to measure")
    return 1 / statistics.median(steps)


def _read_per_s(engine: Engine, n_tokens: int) -> float:
    """Tokens per second of prompts that fill one batch, and that the engine has not seen."""
    rates: list[float] = []
    until_s = time.monotonic() + 1
    while not rates or (len(rates) < _TRIES and time.monotonic() < until_s):
        prompt = f"{time.time_ns() % 10**6}" + _WORD * n_tokens
        *_, end = engine.generate(_request(prompt, 1))
        assert isinstance(end, GenerationEnd)
        rates.append((end.n_prompt - end.n_cached) / end.prefill_s)
    return statistics.median(rates)


def _request(prompt: str, n_tokens: int) -> GenerateRequest:
    return GenerateRequest(
        segments=(Segment(prompt, parse_special=False),),
        sampling=Sampling(),
        max_tokens=n_tokens,
    )


def _types(cards: Sequence[ModelCard]) -> list[str]:
    """Types of weights that make up a part of any of these models worth measuring."""
    found: Counter[str] = Counter()
    for card in cards:
        n_bytes: Counter[str] = Counter()
        for tensor in card.tensors:
            n_bytes[tensor.type_name] += tensor.n_bytes
        found.update({name: size for name, size in n_bytes.items() if size > n_bytes.total() / 50})
    return [name for name, _ in found.most_common()]


def _report(subject: _Subject) -> dict[str, dict[str, float | bool]]:
    rows = {}
    for what, predictions in subject.predicted.items():
        lowest, highest = (statistics.median(ends) for ends in zip(*predictions, strict=True))
        measured = statistics.median(subject.measured[what])
        ratio = math.sqrt(lowest * highest) / measured
        predicted = f"{lowest:.1f} to {highest:.1f}"
        print(f"{subject.path.name:<34} {what:<22} {predicted:>20} {measured:>9.1f} {ratio:>6.2f}")
        rows[what] = {
            "predicted_low": round(lowest, 2),
            "predicted_high": round(highest, 2),
            "measured": round(measured, 2),
            "ratio": round(ratio, 3),
            "inside": lowest <= measured <= highest,
        }
    return rows


if __name__ == "__main__":
    main()
