"""Predicted against real buffers on one device and on two: llama.cpp's RPC servers, started here.

The devices are the processor, and say that they have 3 and 1.5 GiB. Every load is planned with the
same free memory, then made; llama.cpp's log gives the layers and buffers of each device. Each is
made three times: with devices as RPC has them, with such that answer llama.cpp's scheduler as
CUDA's do, and with such that also want no buffer to be larger than 4 MiB, as Vulkan's want 1 GiB.
Needs another environment, see docs/planner.md; LOCALR1_RPC_PYTHON names its Python.

    LOCALR1_RPC_PYTHON=.../bin/python python benchmarks/plan_rpc.py [MODEL.gguf ...]
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from backends.device import Device, DeviceKind
from localr1.model_facts.card import ModelCard
from localr1.plan.device_plan import DevicePlan
from localr1.plan.host_memory import read_host_memory
from localr1.plan.memory_plan import MemoryPlan
from localr1.plan.planner import make_plan
from localr1.plan.request import PlanRequest
from localr1.units import MIB
from quant.gguf.header import read_header
from tests.support.gguf_dense import DenseShape, write_dense
from tests.support.gguf_experts import ExpertShape, write_experts

_CARDS_BYTES = (3072 * MIB, 1536 * MIB)
_ATTENTION = (("on", "f16", "f16"), ("off", "f16", "f16"), ("on", "q8_0", "q4_0"))
_SHAPES: dict[str, DenseShape | ExpertShape] = {
    "llama": DenseShape(arch="llama", n_layer=12),
    "llama, tied": DenseShape(arch="llama", n_head=6, n_head_kv=1, n_embd=192, is_tied=True),
    "qwen2": DenseShape(arch="qwen2", n_layer=7),
    "qwen3": DenseShape(arch="qwen3", n_layer=7),
    "gemma2": DenseShape(arch="gemma2", n_layer=8, n_swa=512, is_tied=True),
    "gemma3": DenseShape(arch="gemma3", n_layer=14, n_swa=512, is_tied=True),
    "mixtral": ExpertShape(arch="llama", n_expert=8, n_used=2, n_ff_exp=768),
    "qwen2moe": ExpertShape(arch="qwen2moe", n_layer=5),
    "qwen3moe": ExpertShape(arch="qwen3moe", n_layer=5),
    "gpt-oss": ExpertShape(arch="gpt-oss", n_swa=128, n_layer=6),
    "deepseek2": ExpertShape(arch="deepseek2", n_layer=27, n_dense=1, n_ff_shared=256),
}
_DEVICES = (
    # name, kind as the plan takes it, largest buffer
    ("RPC", DeviceKind.RPC, None),
    ("as CUDA", DeviceKind.CUDA, None),
    ("in parts", DeviceKind.CUDA, 4 * MIB),
)
_SIZE = re.compile(r"(\S+) +(model|KV|compute|output) buffer size = +([\d.]+) MiB")
_LAYER = re.compile(r"layer +(\d+) assigned to device (\w+)")
_PURPOSES = ("model", "KV", "compute", "output")


@dataclass(slots=True)
class _Worst:
    """The largest differences of one model."""

    n_loads: int = 0
    n_other_splits: int = 0
    mib: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_PURPOSES, 0.0))
    compute_share: float = 0.0

    def add(self, plan: MemoryPlan, log: str, endpoints: list[str]) -> None:
        """Compare one plan with what the log of the load says."""
        sizes, layers = _read(log, endpoints)
        planned = {device.name: device for device in (*plan.devices, plan.host)}
        self.n_loads += 1
        self.n_other_splits += layers != {
            name: set(device.held_layers) for name, device in planned.items() if device.layers
        }
        for name, purpose in product({*planned, *(name for name, _ in sizes)}, _PURPOSES):
            found = sizes[name, purpose]
            ours = _size(planned[name], purpose) / MIB if name in planned else 0.0
            self.mib[purpose] = max(self.mib[purpose], abs(ours - found))
            if purpose == "compute" and found > 1:  # two decimals are printed
                self.compute_share = max(self.compute_share, abs(ours / found - 1))


def main() -> None:
    """Compare the models that are named, and small ones of many architectures; print a table."""
    python = os.environ.get("LOCALR1_RPC_PYTHON")
    if python is None:
        sys.exit("LOCALR1_RPC_PYTHON names no interpreter with an RPC build: see docs/planner.md")
    head = f"{'model':<28} {'devices':<8} {'loads':>5} {'other split':>12}"
    print(f"{head} {'weights':>10} {'KV':>9} {'compute':>16}")
    results: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as directory:
        made = [_write(Path(directory), name, shape) for name, shape in _SHAPES.items()]
        models = (*map(Path, sys.argv[1:]), *made)
        for model, (name, kind, buffer_bytes) in product(models, _DEVICES):
            with _servers(python, buffer_bytes) as endpoints:
                worst = _compare(python, endpoints, model, kind, buffer_bytes)
            results.setdefault(model.stem, {})[name] = {
                "loads": worst.n_loads,
                "other_splits": worst.n_other_splits,
                "worst_mib": worst.mib,
                "worst_compute_share": worst.compute_share,
            }
            weights, kv, compute, _ = (f"{mib:.2f} MiB" for mib in worst.mib.values())
            share = f"{compute} {worst.compute_share:.1%}"
            head = f"{model.stem:<28} {name:<8} {worst.n_loads:>5} {worst.n_other_splits:>12}"
            print(f"{head} {weights:>10} {kv:>9} {share:>16}", flush=True)
    print(json.dumps({"benchmark": "plan_rpc", "models": results}))


def _write(directory: Path, name: str, shape: DenseShape | ExpertShape) -> Path:
    path = directory / f"{name}.gguf"
    return write_dense(path, shape) if isinstance(shape, DenseShape) else write_experts(path, shape)


def _compare(
    python: str, endpoints: list[str], model: Path, kind: DeviceKind, buffer_bytes: int | None
) -> _Worst:
    card = ModelCard.from_header(read_header(model))
    requests = list(_requests(card))
    worst = _Worst()
    for n_devices in (1, 2):
        used = endpoints[:n_devices]
        devices = [
            Device(f"RPC{i}", kind, endpoint, n_bytes, n_bytes, buffer_bytes=buffer_bytes)
            for i, (endpoint, n_bytes) in enumerate(zip(used, _CARDS_BYTES, strict=False))
        ]
        logs = _loads(python, used, model, requests, as_cards=kind is not DeviceKind.RPC)
        for request, log in zip(requests, logs, strict=True):
            wanted = PlanRequest(device=kind.value, **request)
            plan = make_plan(card, wanted, devices, read_host_memory(), with_fixes=False)
            worst.add(plan, log, used)
    return worst


def _requests(card: ModelCard) -> Iterator[dict[str, Any]]:
    splits = (card.n_layer + 1, card.n_layer, max(card.n_layer // 2, 1), 1)
    experts = (0,) if card.experts is None else (0, card.n_layer // 2, card.n_layer)
    for n_layers, n_experts, n_ctx, n_ubatch, (flash_attn, type_k, type_v) in product(
        splits, experts, (512, 8192), (16, 512), _ATTENTION
    ):
        is_latent = card.arch == "deepseek2"  # one cache for keys and values
        yield {
            "n_gpu_layers": n_layers,
            "n_host_experts": n_experts,
            "n_ctx": n_ctx,
            "n_ubatch": n_ubatch,
            "flash_attn": flash_attn,
            "type_k": type_k,
            "type_v": type_k if is_latent else type_v,
        }


def _loads(
    python: str,
    endpoints: list[str],
    model: Path,
    requests: list[dict[str, Any]],
    *,
    as_cards: bool,
) -> list[str]:
    question = {
        "endpoints": endpoints,
        "as_cards": as_cards,
        "model": str(model),
        "requests": requests,
    }
    child = subprocess.run(
        [python, str(Path(__file__).with_name("rpc_devices.py")), "measure"],
        input=json.dumps(question),
        capture_output=True,
        text=True,
        check=False,
    )
    if child.returncode:
        sys.exit(f"{model}: the loads failed: {child.stderr[-500:]}")
    logs: list[str] = json.loads(child.stdout)
    return logs


def _read(
    log: str, endpoints: list[str]
) -> tuple[defaultdict[tuple[str, str], float], dict[str, set[int]]]:
    """MiB by device and purpose, and layers by device."""
    sizes: defaultdict[tuple[str, str], float] = defaultdict(float)
    for buffer, purpose, mib in _SIZE.findall(log):
        named = (f"RPC{i}" for i, endpoint in enumerate(endpoints) if endpoint in buffer)
        sizes[next(named, "CPU"), purpose] += float(mib)
    layers: defaultdict[str, set[int]] = defaultdict(set)
    for layer, device in _LAYER.findall(log):
        layers[device].add(int(layer))
    return sizes, dict(layers)


def _size(device: DevicePlan, purpose: str) -> int:
    return {
        "model": device.weights_bytes,
        "KV": device.kv_bytes,
        "compute": device.compute_bytes,
        "output": device.output_bytes,
    }[purpose]


@contextmanager
def _servers(python: str, buffer_bytes: int | None) -> Iterator[list[str]]:
    script = str(Path(__file__).with_name("rpc_devices.py"))
    most = () if buffer_bytes is None else (buffer_bytes,)
    ports = [_free_port() for _ in _CARDS_BYTES]
    servers = [
        subprocess.Popen(
            [python, script, "serve", *map(str, (port, n_bytes, *most))],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for port, n_bytes in zip(ports, _CARDS_BYTES, strict=True)
    ]
    try:
        for port in ports:
            _wait_for(port)
        yield [f"127.0.0.1:{port}" for port in ports]
    finally:
        for server in servers:
            server.kill()
            server.wait()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _wait_for(port: int) -> None:
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    sys.exit("an RPC server did not start: is LOCALR1_RPC_PYTHON an RPC build?")


if __name__ == "__main__":
    main()
