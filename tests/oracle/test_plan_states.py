"""What models with recurrent layers remember, against llama.cpp's own sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from localr1.model_facts.card import ModelCard
from localr1.plan.kv_cache import kv_bytes_per_layer, state_bytes_per_layer
from localr1.plan.request import PlanRequest
from localr1.units import MIB
from quant.gguf.header import read_header
from tests.support.gguf_llama_sizes import llama_sizes
from tests.support.gguf_published import write_published

_N_CTX = 4096
_REQUESTS: list[dict[str, Any]] = [
    {"n_ctx": _N_CTX, "n_ubatch": 512, "flash_attn": "on", "type_k": "f16", "type_v": "f16"},
    {
        "n_ctx": _N_CTX, "n_ubatch": 512, "flash_attn": "off", "type_k": "q8_0", "type_v": "f16",
        "n_seq_max": 3,
    },
]  # fmt: skip


@pytest.mark.parametrize("name", ["qwen3.5-9b", "lfm2-1.2b", "mamba2-2.7b", "falcon-h1-7b"])
def test_cache_and_state_equal_llama_cpp(name: str, tmp_path: Path) -> None:
    model = write_published(tmp_path / "model.gguf", name)
    card = ModelCard.from_header(read_header(model))

    measured = llama_sizes(model, _REQUESTS)

    for values, sizes in zip(_REQUESTS, measured, strict=True):
        request = PlanRequest(**values)
        kv_mib = sum(kv_bytes_per_layer(card, request, _N_CTX)) / MIB
        state_mib = sum(state_bytes_per_layer(card, request)) / MIB
        assert kv_mib == pytest.approx(sizes["KV"], abs=0.006)
        assert state_mib == pytest.approx(sizes["state"], abs=0.006)
        assert state_mib > 0
