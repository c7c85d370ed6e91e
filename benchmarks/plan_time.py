"""How long plans take: processor time of this process, everything measured in turns in one run.

Reads the header of MODEL.gguf, plans it as `localr1 plan` does, where it fits and where layers and
fixes have to be searched for, and compares the catalogue as `localr1 fit` does. Beside the plan
stands llama.cpp's own way to the same numbers: load the file and make a context with `no_alloc`,
which reads the vocabulary and lays out the graphs but allocates nothing. Prints a line per
measurement and, last, one JSON line. "ratio" is llama.cpp's time by that of header and plan.

    python benchmarks/plan_time.py MODEL.gguf [--rounds N] [--models N]

The catalogue is cut to, or repeated up to, `--models` different models.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from localr1.catalogue.entry import Entry, entries
from localr1.catalogue.fit import of_catalogue, rank
from localr1.hardware.machine import PlannedMachine, Wish, build_machine
from localr1.model_facts.card import ModelCard
from localr1.plan.host_memory import read_host_memory
from localr1.plan.request import PlanRequest
from localr1.units import GIB
from quant.gguf.header import read_header

_N_CTX = 16_384
_SMALL = Wish(vram_bytes=4 * GIB, ram_bytes=16 * GIB)
_MACHINES = {
    "rtx-4090": Wish(names=("rtx-4090",)),
    "rtx-4090 + rtx-3060": Wish(names=("rtx-4090", "rtx-3060")),
}


def main() -> None:
    """Measure in rounds, print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--models", type=int, default=100)
    options = parser.parse_args()
    here = PlannedMachine(devices=(), host=read_host_memory(), known={}, notices=())
    machines = {"this machine": here, **{k: build_machine(wish) for k, wish in _MACHINES.items()}}
    listed = list(_models(options.models))
    seconds: defaultdict[str, list[float]] = defaultdict(list)
    with _llama_cpp() as load:
        for _ in range(options.rounds):
            _measure_plans(options.model, here, seconds)
            seconds["llama.cpp, no_alloc"].append(_timed(lambda: load(options.model)))
            for name, machine in machines.items():
                seconds[f"fit, {name}"].append(_timed(partial(_fit, listed, machine)))
    _print(seconds, len(listed))


def _measure_plans(
    model: Path, here: PlannedMachine, seconds: defaultdict[str, list[float]]
) -> None:
    seconds["header"].append(_timed(lambda: read_header(model, allow_truncated=True)))
    card = ModelCard.from_header(read_header(model, allow_truncated=True))
    small, two = build_machine(_SMALL), build_machine(_MACHINES["rtx-4090 + rtx-3060"])
    seconds["plan"].append(_timed(lambda: _plan(card, here, _N_CTX)))
    seconds["plan, offload and fixes"].append(_timed(lambda: _plan(card, small, _N_CTX)))
    seconds["plan, two cards"].append(_timed(lambda: _plan(card, two, _N_CTX)))


def _plan(card: ModelCard, machine: PlannedMachine, n_ctx: int) -> None:
    machine.plan(card, PlanRequest(n_ctx=n_ctx))


def _fit(models: list[Entry], machine: PlannedMachine) -> None:
    rank(of_catalogue(models), PlanRequest(), machine)


def _models(n: int) -> Iterator[Entry]:
    """So many models. One that is there again has another vocabulary: no plan serves for both."""
    for i, entry in enumerate(itertools.islice(itertools.cycle(entries().values()), n)):
        times, n_vocab = i // len(entries()), entry.keys["vocab_size"]
        if times and isinstance(n_vocab, int):
            keys = {**entry.keys, "vocab_size": n_vocab + 256 * times}
            yield replace(entry, name=f"{entry.name}-{times}", keys=keys)
        else:
            yield entry


@contextmanager
def _llama_cpp() -> Iterator[Callable[[Path], None]]:
    """What loads a file and makes a context without memory for either."""
    import llama_cpp.llama_cpp as c

    silent = c.llama_log_callback(lambda _level, _text, _user_data: None)

    def load(model: Path) -> None:
        wanted = c.llama_model_default_params()
        wanted.n_gpu_layers = 0
        wanted.no_alloc = True
        wanted.load_mode = c.LLAMA_LOAD_MODE_NONE
        loaded = c.llama_model_load_from_file(str(model).encode(), wanted)
        if not loaded:
            raise SystemExit(f"llama.cpp does not load {model}")
        params = c.llama_context_default_params()
        params.n_ctx = _N_CTX
        c.llama_free(c.llama_init_from_model(loaded, params))
        c.llama_model_free(loaded)

    c.llama_log_set(silent, None)
    c.llama_backend_init()
    yield load
    c.llama_backend_free()


def _timed(work: Callable[[], object]) -> float:
    started_s = time.process_time()
    work()
    return time.process_time() - started_s


def _print(seconds: defaultdict[str, list[float]], n_models: int) -> None:
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    for name, times in seconds.items():
        note = f" of {n_models} models" if name.startswith("fit") else ""
        fastest, slowest = (1e3 * end for end in (min(times), max(times)))
        print(f"{name + note:<40}{1e3 * medians[name]:9.1f} ms   {fastest:.1f} to {slowest:.1f}")
    ratio = medians["llama.cpp, no_alloc"] / (medians["header"] + medians["plan"])
    print(f"llama.cpp's way takes {ratio:.1f} times as long as header and plan")
    milliseconds = {name: round(1e3 * median, 2) for name, median in medians.items()}
    print(json.dumps({"ms": milliseconds, "models": n_models, "ratio": round(ratio, 2)}))


if __name__ == "__main__":
    main()
