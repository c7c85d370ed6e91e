"""Where weights lie, against real loads: the mapped span and the repacked copy."""

from __future__ import annotations

from pathlib import Path

import pytest

from backends.cpu import cpu_parameters
from backends.machine import HostFacts
from backends.parameters import FlashAttention
from localr1.model_facts.card import ModelCard
from localr1.plan.compare import compare
from localr1.plan.host_memory import read_host_memory
from localr1.plan.planner import make_plan
from localr1.plan.request import PlanRequest
from localr1.units import MIB
from localr1.worker.host import Engine
from quant.gguf.header import read_header
from tests.support.engines import load
from tests.support.gguf_dense import DenseShape, write_dense
from tests.support.gguf_llama_sizes import llama_sizes
from tests.support.gguf_writer import F16, Q4_0, Q4_K, Q8_0

_REQUEST = {"n_ctx": 512, "n_ubatch": 512, "flash_attn": "on", "type_k": "f16", "type_v": "f16"}


@pytest.mark.parametrize("is_tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("type_id", [F16, Q8_0, Q4_0, Q4_K], ids=["F16", "Q8_0", "Q4_0", "Q4_K"])
def test_weights_equal_a_real_load(tmp_path: Path, type_id: int, *, is_tied: bool) -> None:
    shape = DenseShape(arch="llama", type_id=type_id, is_tied=is_tied)
    model = write_dense(tmp_path / "model.gguf", shape)

    (sizes,) = llama_sizes(model, [_REQUEST], allocates=True)

    card = ModelCard.from_header(read_header(model))
    plan = make_plan(card, PlanRequest(n_ctx=512), (), read_host_memory())
    # one printed line for the span, one for the copy
    assert plan.host.weights_bytes / MIB == pytest.approx(sizes["model"], abs=0.012)


@pytest.mark.parametrize(
    ("n_ctx", "kv", "flash_attn"),
    [(None, "f16", "auto"), (1000, "q8_0", "on"), (512, "f16", "off")],
)
def test_the_engine_allocates_what_was_planned(
    r1_nano: Path, n_ctx: int | None, kv: str, flash_attn: FlashAttention
) -> None:
    card = ModelCard.from_header(read_header(r1_nano))
    request = PlanRequest(n_ctx=n_ctx, type_k=kv, type_v=kv, flash_attn=flash_attn)
    plan = make_plan(card, request, (), read_host_memory())
    parameters = cpu_parameters(plan.load_request(str(r1_nano)), HostFacts(n_cores=1))

    engine = Engine.start()
    try:
        report = load(engine, parameters)
    finally:
        engine.close()

    assert report.n_ctx == plan.n_ctx
    comparison = compare(plan, report.buffers)
    assert [row.purpose for row in comparison] == ["weights", "kv", "compute", "output"]
    for row in comparison:
        # llama.cpp prints two decimals, and weights on two lines
        assert row.predicted_bytes == pytest.approx(row.measured_bytes, abs=0.012 * MIB), row
