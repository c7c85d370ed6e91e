"""r1-nano after our conversion, against what `transformers` computed from the same checkpoint.

`tests/golden/r1-nano` was made with the bf16 weights in float32 and eager attention: greedy replies
to 50 prompts, logits after 40 prompts, and 100 questions with their right answers.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from localr1.chat.prompt import Exchange, PromptBuilder
from localr1.chat.template import ChildRenderer
from localr1.model_facts.card import ModelCard
from localr1.worker.frames import (
    GenerateRequest,
    LoadReport,
    Sampling,
    Segment,
    TokenPiece,
)
from localr1.worker.host import Engine
from quant.gguf.header import read_header
from quant.pipeline import convert
from tests.support.engines import load
from tests.support.models import R1_NANO_CHECKPOINT, parameters_for

_GOLDEN = Path(__file__).parents[1] / "golden" / "r1-nano"


def _rows(name: str) -> list[dict[str, Any]]:
    lines = (_GOLDEN / name).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


class _Model:
    """One conversion of r1-nano, loaded, with its chat template."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.engine = Engine.start()
        report: LoadReport = load(self.engine, parameters_for(path))
        card = ModelCard.from_header(read_header(path))
        self._renderer = ChildRenderer()
        self._builder = PromptBuilder(
            card.chat_template, report, self._renderer, thinks=True, now=datetime.now
        )

    def close(self) -> None:
        self.engine.close()
        self._renderer.close()

    def segments(self, messages: list[dict[str, str]]) -> tuple[Segment, ...]:
        pairs = zip(messages[0:-1:2], messages[1::2], strict=True)
        history = [Exchange(asked["content"], "", said["content"]) for asked, said in pairs]
        return self._builder.build("", history, messages[-1]["content"]).segments

    def reply(self, messages: list[dict[str, str]]) -> list[TokenPiece]:
        request = GenerateRequest(
            segments=self.segments(messages), sampling=Sampling(temperature=0), max_tokens=200
        )
        return [f for f in self.engine.generate(request) if isinstance(f, TokenPiece)]


@pytest.fixture(scope="module")
def bf16(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Model]:
    yield from _converted(tmp_path_factory, "BF16")


@pytest.fixture(scope="module")
def q4(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Model]:
    yield from _converted(tmp_path_factory, "Q4_K_M")


def _converted(factory: pytest.TempPathFactory, file_type: str) -> Iterator[_Model]:
    path = factory.mktemp("r1-nano") / f"{file_type}.gguf"
    convert(R1_NANO_CHECKPOINT, path, file_type=file_type)
    model = _Model(path)
    yield model
    model.close()


def test_prompts_are_the_same_tokens(bf16: _Model) -> None:
    rows = _rows("reference_generations.jsonl")

    ours = [bf16.engine.tokenize(bf16.segments(row["messages"])) for row in rows]

    assert ours == [row["prompt_ids"] for row in rows]


def test_greedy_replies_are_the_same_tokens(bf16: _Model) -> None:
    rows = _rows("reference_generations.jsonl")

    # the engine keeps the end-of-text token to itself
    same = [
        [piece.id for piece in bf16.reply(row["messages"])] == row["output_ids"][:-1]
        for row in rows
    ]

    assert len(rows) == 50
    assert sum(same) >= 49


def test_logits_are_close(bf16: _Model, tmp_path: Path) -> None:
    golden = np.load(_GOLDEN / "reference_logits.npz")
    names = [f"p{i:02d}_{part}" for i in range(20) for part in ("prompt", "full")]
    (tmp_path / "ids.json").write_text(json.dumps([golden[f"{n}_ids"].tolist() for n in names]))

    subprocess.run(
        [
            *(sys.executable, "-m", "tests.support.last_logits"),
            *(bf16.path, tmp_path / "ids.json", tmp_path / "logits.npy"),
        ],
        check=True,
        capture_output=True,
    )

    ours = np.load(tmp_path / "logits.npy")
    theirs = np.stack([golden[f"{name}_last_logits"] for name in names])
    # activations are rounded to bf16 before each product on the CPU: 0.065 was seen
    assert np.abs(ours - theirs).max() < 0.1


def test_four_bits_cost_at_most_three_points_of_accuracy(bf16: _Model, q4: _Model) -> None:
    questions = _rows("eval_dev.jsonl")

    exact, four_bit = (
        sum(_is_right(model.reply(row["messages"]), row["expected"]) for row in questions)
        for model in (bf16, q4)
    )

    assert len(questions) == 100
    assert exact >= 85  # 91 of 100 on all 300 held-out prompts, by its makers
    assert four_bit >= exact - 3


def _is_right(reply: list[TokenPiece], expected: str) -> bool:
    """The makers' own rule: the first bold text after the thought."""
    answer = "".join(piece.text for piece in reply).partition("</think>")[2]
    bold = re.search(r"\*\*(.+?)\*\*", answer)
    return bold is not None and bold[1].strip() == expected
