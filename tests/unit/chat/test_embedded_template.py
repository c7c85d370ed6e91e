"""The embedded model's own template, through the real child: what r1-nano is given to read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

import localr1
from localr1.chat.prompt import Exchange, PromptBuilder
from localr1.chat.template import ChildRenderer
from tests.support.fake_engine import a_report

CONFIG = Path(localr1.__file__).parent / "demo" / "r1-nano" / "tokenizer_config.json"
TOKENS = {"<｜User｜>": 3, "<｜Assistant｜>": 4, "<think>": 5, "</think>": 6}


@pytest.fixture
def renderer() -> Iterator[ChildRenderer]:
    renderer = ChildRenderer()
    yield renderer
    renderer.close()


def test_r1_nano_reads_its_history_without_thoughts_and_starts_in_thinking(
    renderer: ChildRenderer,
) -> None:
    template = json.loads(CONFIG.read_text(encoding="utf-8"))["chat_template"]
    builder = PromptBuilder(
        template, a_report(TOKENS), renderer, thinks=True, now=lambda: datetime.now(UTC)
    )
    old = Exchange("What is 2 + 2?", "two and two", "4")

    prompt = builder.build("", [old], "Say </think>.")

    assert "".join(segment.text for segment in prompt.segments) == (
        "<|begin|><｜User｜>What is 2 + 2?<｜Assistant｜>4<|end|>"
        "<｜User｜>Say </think>.<｜Assistant｜><think>\n"
    )
    assert prompt.starts_in_thinking
    assert [s.text for s in prompt.segments if not s.parse_special] == ["/think>"]
    assert prompt.notices == ()
