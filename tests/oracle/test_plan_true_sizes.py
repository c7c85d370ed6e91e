"""Plans of published models at their true sizes, from headers alone, against llama.cpp's own.

Small shapes do not show every fault: which hole a tensor falls into depends on real widths.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from localr1.catalogue.entry import find_entry
from localr1.model_facts.card import ModelCard
from localr1.plan.decoder_graph import VERIFIED_ARCHITECTURES
from localr1.plan.planner import make_plan
from localr1.plan.request import HostMemory, PlanRequest
from localr1.units import MIB
from quant.gguf.header import read_header
from quant.gguf.types import FileType
from tests.support.gguf_header_only import write_header_only
from tests.support.gguf_llama_sizes import llama_sizes
from tests.support.gguf_published import published_names, write_published

_HOST = HostMemory(total_bytes=2**44, available_bytes=2**44)
_PRINTED_MIB = 0.012  # two lines of two decimals each
_REQUESTS: list[dict[str, Any]] = [
    {"n_ctx": 8192, "n_ubatch": 2048, "flash_attn": "on", "type_k": "q8_0", "type_v": "q8_0"},
    {"n_ctx": 32_768, "n_ubatch": 512, "flash_attn": "off", "type_k": "f16", "type_v": "f16"},
]


@pytest.mark.parametrize("name", ["gemma2:9b", "gemma3:1b", "gpt-oss:20b", "phi4:14b"])
def test_a_model_of_the_catalogue_is_sized_as_llama_cpp_does(name: str, tmp_path: Path) -> None:
    entry, _ = find_entry(name)

    model = write_header_only(tmp_path / "model.gguf", entry, FileType.Q4_K_M)

    _assert_sizes_equal(model)


@pytest.mark.parametrize("name", published_names())
def test_a_published_model_is_sized_as_llama_cpp_does(name: str, tmp_path: Path) -> None:
    _assert_sizes_equal(write_published(tmp_path / "model.gguf", name))


def _assert_sizes_equal(model: Path) -> None:
    card = ModelCard.from_header(read_header(model))
    assert card.arch in VERIFIED_ARCHITECTURES
    for request, sizes in zip(_REQUESTS, llama_sizes(model, _REQUESTS), strict=True):
        host = make_plan(card, PlanRequest(**request), (), _HOST, with_fixes=False).host
        planned = {
            "KV": host.kv_bytes / MIB,
            "state": host.recurrent_bytes / MIB,
            "compute": host.compute_bytes / MIB,
            "output": host.output_bytes / MIB,
        }
        found = {purpose: sizes[purpose] for purpose in planned}
        assert planned == pytest.approx(found, abs=_PRINTED_MIB, rel=0), request
