"""Predicted against measured decode speed on this machine, in one run.

For each model: the types of its weights are measured with models of zeros (what `localr1 plan
--calibrate` does), a plan is made, and the model itself is decoded with an empty context. Prints a
table and, last, one JSON line. "off" is the middle of the predicted range against the measured
median; `inside` says whether the median lies in the range itself.

    python benchmarks/plan_speed.py MODEL.gguf [MODEL.gguf ...] [--tokens N] [--rounds N]
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections import Counter
from itertools import pairwise
from pathlib import Path

from backends.cpu import cpu_parameters
from backends.machine import Machine, host_facts
from localr1.calibration.measure import measure
from localr1.model_facts.card import ModelCard
from localr1.plan.hardware import HOST, Known
from localr1.plan.host_memory import read_host_memory
from localr1.plan.planner import make_plan
from localr1.plan.request import PlanRequest
from localr1.worker.frames import GenerateRequest, Sampling, Segment, TokenPiece
from localr1.worker.host import Engine
from quant.gguf.header import read_header

_PROMPT = "The engineer wrote down every number twice"
_N_CTX = 1024


def main() -> None:
    """Measure every model and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--tokens", type=int, default=33)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(f"{'model':<34} {'predicted tokens/s':>20} {'measured':>9} {'off':>6}")
    results = {}
    engine = Engine.start()
    try:
        for model in options.models:
            results[model.name] = _compare(engine, model, options.tokens, options.rounds)
    finally:
        engine.close()
    print(json.dumps({"benchmark": "plan_speed", "models": results}))


def _compare(engine: Engine, path: Path, n_tokens: int, n_rounds: int) -> dict[str, float | bool]:
    card = ModelCard.from_header(read_header(path))
    predictions, rates = [], []
    for _ in range(n_rounds):  # neighbours in time share the machine's load
        known = {HOST: Known(rate=measure(engine, _types(card)).rate())}
        request = PlanRequest(n_ctx=_N_CTX, device="cpu")
        plan = make_plan(card, request, engine.info.devices, read_host_memory(), known)
        assert plan.speed is not None
        predictions.append(plan.speed.decode_tokens_per_s)
        parameters = cpu_parameters(plan.load_request(str(path)), host_facts(Machine()))
        for _ in engine.load(parameters):
            pass
        rates.append(_decoded_per_s(engine, n_tokens))
    lowest, highest = (statistics.median(ends) for ends in zip(*predictions, strict=True))
    measured = statistics.median(rates)
    off = math.sqrt(lowest * highest) / measured - 1
    print(f"{path.name:<34} {lowest:>9.1f} to {highest:>7.1f} {measured:>9.1f} {off:>+6.0%}")
    return {
        "predicted_low": round(lowest, 2),
        "predicted_high": round(highest, 2),
        "measured": round(measured, 2),
        "off": round(off, 3),
        "inside": lowest <= measured <= highest,
    }


def _types(card: ModelCard) -> list[str]:
    n_bytes: Counter[str] = Counter()
    for tensor in card.tensors:
        n_bytes[tensor.type_name] += tensor.n_bytes
    return [name for name, size in n_bytes.most_common() if size > n_bytes.total() / 50]


def _decoded_per_s(engine: Engine, n_tokens: int) -> float:
    """Tokens per second by the median time between two tokens."""
    request = GenerateRequest(
        segments=(Segment(_PROMPT, parse_special=False),),
        sampling=Sampling(temperature=0),
        max_tokens=n_tokens,
    )
    at_s = [frame.at_s for frame in engine.generate(request) if isinstance(frame, TokenPiece)]
    if len(at_s) < 3:
        raise SystemExit("the model ended its answer at once; nothing to measure")
    return 1 / statistics.median(after - before for before, after in pairwise(at_s))


if __name__ == "__main__":
    main()
