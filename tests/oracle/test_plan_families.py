"""Plans of files that the converter makes, one of each family, against llama.cpp's own sizes."""

from __future__ import annotations

from pathlib import Path

import pytest

from localr1.model_facts.card import ModelCard
from localr1.plan.decoder_graph import VERIFIED_ARCHITECTURES
from localr1.plan.kv_cache import holds
from localr1.plan.planner import make_plan
from localr1.plan.request import HostMemory, PlanRequest
from localr1.units import MIB
from quant.gguf.header import read_header
from quant.pipeline import convert
from tests.support.checkpoint_families import family_names, write_family
from tests.support.gguf_llama_sizes import llama_sizes

_HOST = HostMemory(total_bytes=2**36, available_bytes=2**36)
_PRINTED_MIB = 0.012  # two lines of two decimals each
_REQUESTS = [
    {"n_ctx": 512, "n_ubatch": 128, "flash_attn": "on", "type_k": "f16", "type_v": "f16"},
    {"n_ctx": 8192, "n_ubatch": 512, "flash_attn": "on", "type_k": "q8_0", "type_v": "q8_0"},
    {"n_ctx": 2304, "n_ubatch": 2048, "flash_attn": "off", "type_k": "f16", "type_v": "f16"},
]


@pytest.mark.parametrize("name", family_names())
def test_sizes_of_a_converted_model_equal_llama_cpps(name: str, tmp_path: Path) -> None:
    model = tmp_path / "model.gguf"
    convert(write_family(name, tmp_path), model, file_type="Q8_0")
    card = ModelCard.from_header(read_header(model))

    requests = [request for request in _REQUESTS if holds(str(request["type_k"]), card.head_dim_k)]
    measured = llama_sizes(model, requests)

    assert card.arch in VERIFIED_ARCHITECTURES
    for request, sizes in zip(requests, measured, strict=True):
        host = make_plan(card, PlanRequest(**request), (), _HOST).host  # type: ignore[arg-type]
        planned = {"compute": host.compute_bytes / MIB, "KV": host.kv_bytes / MIB}
        found = {purpose: sizes[purpose] for purpose in planned}
        assert planned == pytest.approx(found, abs=_PRINTED_MIB, rel=0), request
