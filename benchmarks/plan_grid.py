"""Predicted against what llama.cpp says it allocates: every model at hand, in many settings.

Models: files and checkpoints that are named; one small checkpoint of each family, converted for
this; and headers before a hole: models of the catalogue and published ones beyond it, at their true
sizes. llama.cpp sizes caches and compute buffers without allocating (`no_alloc`), small models are
loaded for real as well. Weights are those of a load that is called off before it reads. A process
for each model, so that a failed assertion there costs one model. Prints a table and, last, one JSON
line.

    PYTHONPATH=. python benchmarks/plan_grid.py [MODEL ...] [--all] [--quick] [--only NAME]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from localr1.catalogue.entry import Entry, entries
from localr1.model_facts.card import ModelCard
from localr1.plan.decoder_graph import VERIFIED_ARCHITECTURES
from localr1.plan.host_memory import read_host_memory
from localr1.plan.kv_cache import holds
from localr1.plan.planner import make_plan
from localr1.plan.request import HostMemory, PlanRequest
from localr1.units import GIB, MIB
from quant.gguf.header import read_header
from quant.gguf.types import FileType
from quant.pipeline import convert
from tests.support.checkpoint_families import family_names, write_family
from tests.support.gguf_header_only import write_header_only
from tests.support.gguf_llama_sizes import llama_sizes
from tests.support.gguf_llama_weights import llama_weights
from tests.support.gguf_published import published_names, write_published

_CONTEXTS = (512, 2048, 8192, 32_768, 131_072)
_BATCHES = (128, 512, 2048)
_ATTENTION = (
    ("on", "f16", "f16"),
    ("on", "q8_0", "q8_0"),
    ("on", "q4_0", "q4_0"),
    ("off", "f16", "f16"),
    ("off", "q8_0", "f16"),
    ("off", "q4_0", "f16"),
)
_PRINTED_MIB = 0.012  # two lines of two decimals each
_SHOWN = (
    "llama3.1:8b", "mixtral:8x7b", "mistral-small:24b", "qwen2.5:7b", "qwen3:8b", "qwen3:30b-a3b",
    "gpt-oss:20b", "deepseek-v2-lite:16b", "deepseek-r1:671b", "gemma2:9b", "gemma3:12b",
    "phi3.5:3.8b", "phi4:14b", "granite3.3:8b", "olmo2:7b", "smollm3:3b",
)  # fmt: skip
_MOST_MAPPED_BYTES = 8 * GIB  # the system reads ahead what is mapped
_MOST_LOADED_BYTES = GIB // 2
_TIMEOUT_S = 900
_PURPOSES = ("KV", "state", "compute", "output")


@dataclass(slots=True)
class Grid:
    """How far the plans of one model were off, at most."""

    arch: str
    is_verified: bool
    n_settings: int = 0
    n_equal: int = 0
    n_loaded: int = 0
    worst_mib: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_PURPOSES, 0.0))
    worst_compute_share: float = 0.0
    weights_mib: float | None = None
    """None where the file is too big to be mapped here."""

    def add(self, planned: dict[str, float], found: dict[str, float]) -> None:
        """Compare one plan with what was printed, in MiB by purpose."""
        errors = {purpose: abs(planned[purpose] - found[purpose]) for purpose in _PURPOSES}
        self.n_settings += 1
        self.n_equal += max(errors.values()) <= _PRINTED_MIB
        for purpose, error in errors.items():
            self.worst_mib[purpose] = max(self.worst_mib[purpose], error)
        share = errors["compute"] / found["compute"]
        self.worst_compute_share = max(self.worst_compute_share, share)


def main() -> None:
    """Compare all models, print how far the worst plan of each is off."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--quick", action="store_true", help="two contexts and one batch size")
    parser.add_argument("--all", action="store_true", help="every shape of the catalogue")
    parser.add_argument("--only", help="of the models made here, those whose name has this in it")
    options = parser.parse_args()
    print(f"{'model':<34} {'settings':>8} {'equal':>6} {'weights':>9} {'KV':>9} {'compute':>17}")
    grids, failed = {}, {}
    with tempfile.TemporaryDirectory() as directory:
        for name, model in _models(Path(directory), options):
            try:
                grids[name] = grid = _measured(model, is_quick=options.quick)
                print(_row(name, grid), flush=True)
            except (AssertionError, subprocess.TimeoutExpired) as exc:
                failed[name] = str(exc)[-300:]
                print(f"{name:<34} llama.cpp failed: {failed[name][-120:]!r}", flush=True)
            if model.is_relative_to(directory):
                model.unlink()
    document = {name: asdict(grid) for name, grid in grids.items()}
    print(json.dumps({"benchmark": "plan_grid", "models": document, "failed": failed}))


def _models(directory: Path, options: argparse.Namespace) -> Iterator[tuple[str, Path]]:
    for path in options.models:
        model = path
        if path.is_dir():
            model = directory / f"{path.name}.gguf"
            convert(path, model, file_type="Q4_K_M")
        yield path.stem, model
    wanted = options.only or ""
    for family in family_names():
        if wanted in family:
            model = directory / f"{family}.gguf"
            convert(write_family(family, directory), model, file_type="Q4_K_M")
            yield f"{family} (converted)", model
    for entry in _shapes() if options.all else (entries()[name] for name in _SHOWN):
        if wanted in entry.name:
            file_type = FileType[(*entry.file_types, "Q4_K_M")[0]]
            yield entry.name, write_header_only(directory / "model.gguf", entry, file_type)
    for name in published_names():
        if wanted in name:
            yield name, write_published(directory / "model.gguf", name)


def _shapes() -> Iterator[Entry]:
    """The catalogue without models that differ in their weights only."""
    seen = set()
    for entry in entries().values():
        keys = tuple(sorted((key, value) for key, value in entry.keys.items()))
        if (entry.architecture, entry.is_tied, keys) not in seen:
            seen.add((entry.architecture, entry.is_tied, keys))
            yield entry


def _measured(model: Path, *, is_quick: bool) -> Grid:
    card = ModelCard.from_header(read_header(model))
    host = read_host_memory()
    grid = Grid(card.arch, card.arch in VERIFIED_ARCHITECTURES and not card.unplanned)
    requests = list(_requests(card, is_quick=is_quick))
    _compare(grid, model, card, requests, host, allocates=False)
    if card.file_bytes <= _MOST_LOADED_BYTES:
        loaded = [request for request in requests if _is_small(card, request, host)]
        _compare(grid, model, card, loaded, host, allocates=True)
        grid.n_loaded = len(loaded)
    if card.file_bytes <= _MOST_MAPPED_BYTES:
        found = sum(llama_weights(model).values())
        planned = make_plan(card, PlanRequest(n_ctx=512), (), host).host.weights_bytes / MIB
        grid.weights_mib = abs(planned - found)
    return grid


def _requests(card: ModelCard, *, is_quick: bool) -> Iterator[dict[str, Any]]:
    contexts, batches = ((512, 32_768), (512,)) if is_quick else (_CONTEXTS, _BATCHES)
    is_latent = any(card.head_dim_k) and not any(card.head_dim_v)  # one cache for keys and values
    for n_ctx, n_ubatch, (flash_attn, type_k, type_v) in product(contexts, batches, _ATTENTION):
        if not holds(type_k, card.head_dim_k) or (is_latent and type_k != type_v):
            continue
        yield {
            "n_ctx": n_ctx,
            "n_ubatch": n_ubatch,
            "flash_attn": flash_attn,
            "type_k": type_k,
            "type_v": type_v,
        }


def _compare(
    grid: Grid,
    model: Path,
    card: ModelCard,
    requests: list[dict[str, Any]],
    host: HostMemory,
    *,
    allocates: bool,
) -> None:
    found = llama_sizes(model, requests, allocates=allocates, timeout_s=_TIMEOUT_S)
    for request, sizes in zip(requests, found, strict=True):
        grid.add(_planned(card, request, host), {"state": 0.0, "KV": 0.0, **sizes})


def _planned(card: ModelCard, request: dict[str, Any], host: HostMemory) -> dict[str, float]:
    plan = make_plan(card, PlanRequest(**request), (), host, with_fixes=False).host
    sizes = {
        "KV": plan.kv_bytes,
        "state": plan.recurrent_bytes,
        "compute": plan.compute_bytes,
        "output": plan.output_bytes,
    }
    return {purpose: n_bytes / MIB for purpose, n_bytes in sizes.items()}


def _is_small(card: ModelCard, request: dict[str, Any], host: HostMemory) -> bool:
    planned = _planned(card, request, host)
    return sum(planned.values()) * MIB <= _MOST_LOADED_BYTES


def _row(name: str, grid: Grid) -> str:
    weights = "-" if grid.weights_mib is None else f"{grid.weights_mib:.2f}"
    kv = grid.worst_mib["KV"] + grid.worst_mib["state"]
    compute = f"{grid.worst_mib['compute']:.2f} {grid.worst_compute_share:>6.1%}"
    note = "" if grid.is_verified else "  estimated"
    counts = f"{grid.n_settings:>8} {grid.n_equal:>6}"
    return f"{name:<34} {counts} {weights:>9} {kv:>9.2f} {compute:>17}{note}"


if __name__ == "__main__":
    main()
