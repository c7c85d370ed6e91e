"""How a text is cut, and what a measurement needs beyond the plan."""

from __future__ import annotations

from pathlib import Path

import pytest

from localr1.errors import DoesNotFitError, UsageError
from localr1.importance import cut, room_for_logits
from localr1.model_facts.card import ModelCard
from localr1.plan.memory_plan import MemoryPlan
from localr1.plan.planner import make_plan
from localr1.plan.request import HostMemory, PlanRequest
from quant.gguf.header import read_header


def test_chunks_follow_each_other_and_the_rest_is_dropped() -> None:
    assert cut(list(range(11)), 3, None) == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]


def test_fewer_chunks_may_be_asked_for() -> None:
    assert cut(list(range(11)), 3, 2) == [[0, 1, 2], [3, 4, 5]]
    assert len(cut(list(range(11)), 3, 100)) == 3


def test_less_than_two_chunks_is_too_short() -> None:
    with pytest.raises(UsageError, match="has 5 tokens, 6 are needed for chunks of 3"):
        cut(list(range(5)), 3, None)


def _plan(model: Path, available_bytes: int) -> MemoryPlan:
    card = ModelCard.from_header(read_header(model))
    host = HostMemory(total_bytes=8 * 1024**3, available_bytes=available_bytes)
    return make_plan(card, PlanRequest(n_ctx=512), (), host)


def test_logits_of_a_whole_chunk_must_fit_beside_the_plan(r1_nano: Path) -> None:
    roomy = _plan(r1_nano, 4 * 1024**3)
    logits_bytes = 512 * roomy.card.n_vocab * 4
    tight = _plan(r1_nano, 4 * 1024**3 - roomy.host.margin_bytes + logits_bytes - 2**20)

    room_for_logits(512)(roomy)
    room_for_logits(64)(tight)
    with pytest.raises(DoesNotFitError, match="measuring takes 2"):
        room_for_logits(512)(tight)
